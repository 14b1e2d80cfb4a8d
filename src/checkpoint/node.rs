//! The values of a pickle: what the machine leaves and its reader gives.

/// A node's place in its pickle. Nodes refer to each other by place, so that nothing here recurses and a
/// cycle is only a cycle of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(pub u32);

/// A value of the pickle, its texts borrowed from it.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    /// A constant, number or bytes of which nothing is needed.
    Plain,
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// A tuple, list or set.
    Sequence(Vec<Id>),
    /// The entries in the order of insertion, doubled keys included.
    Dict(Vec<(Id, Id)>),
    /// A function or class by name: module, name.
    Global(&'a str, &'a str),
    /// Scalars in another member of the archive.
    Storage {
        /// `FloatStorage` and the like.
        kind: &'a str,
        /// The member's name.
        key: &'a str,
        /// In scalars.
        len: usize,
    },
    /// A strided view of a storage.
    Tensor {
        storage: Id,
        offset: i64,
        shape: Id,
        strides: Id,
    },
    /// What a function or class that is never called would have made: module, name.
    Made(&'a str, &'a str),
}

pub(super) type Step<T> = Result<T, String>;

/// What a call makes. Only the handful of PyTorch's own constructors named here mean anything.
pub(super) fn called<'a>(nodes: &[Node<'a>], function: Id, arguments: Id) -> Step<Node<'a>> {
    let node = |id: Id| &nodes[id.0 as usize];
    let (module, name) = match *node(function) {
        Node::Global(module, name) => (module, name),
        Node::Made(module, name) => return Ok(Node::Made(module, name)),
        _ => return Err("a call of what is no function".into()),
    };
    let Node::Sequence(arguments) = node(arguments) else {
        return Err(format!("a call of {module}.{name} without arguments"));
    };
    Ok(match (module, name, arguments.as_slice()) {
        ("collections", "OrderedDict", []) | ("collections", "defaultdict", [] | [_]) => {
            Node::Dict(Vec::new())
        }
        (
            "torch._utils",
            "_rebuild_tensor" | "_rebuild_tensor_v2",
            &[storage, offset, shape, strides, ref rest @ ..],
        ) => {
            // Behind two arguments for autograd: marks of views that show -x, or the conjugate of x
            let marks = rest.get(2).map(|&marks| node(marks));
            let plain = marks.is_none_or(|marks| matches!(marks, Node::Dict(marks) if marks.is_empty()));
            match *node(offset) {
                _ if !plain => Node::Made("torch", "_neg_view"),
                Node::Int(offset) => Node::Tensor { storage, offset, shape, strides },
                _ => return Err("a tensor without an offset".into()),
            }
        }
        // The tensor itself, with what autograd wants to know of it
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state", &[tensor, ..]) => {
            match node(tensor) {
                tensor @ Node::Tensor { .. } => tensor.clone(),
                _ => Node::Made(module, name),
            }
        }
        _ => Node::Made(module, name),
    })
}

/// The storage that a persistent id describes: `("storage", class, key, device, length)`.
pub(super) fn stored<'a>(nodes: &[Node<'a>], id: Id) -> Step<Node<'a>> {
    let node = |id: Id| &nodes[id.0 as usize];
    let Node::Sequence(items) = node(id) else { return Err("a storage without a description".into()) };
    let [tag, class, key, _device, len] = items[..] else {
        return Err("a storage with another description".into());
    };
    match (node(tag), node(class), node(key), node(len)) {
        (Node::Text("storage"), &Node::Global(_, kind), &Node::Text(key), &Node::Int(len)) => {
            let len = usize::try_from(len).map_err(|_| "a storage of negative length")?;
            Ok(Node::Storage { kind, key, len })
        }
        _ => Err("a storage with another description".into()),
    }
}
