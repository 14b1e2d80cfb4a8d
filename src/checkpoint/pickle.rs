//! A restricted reader of Python pickles, protocols 2 to 5.
//!
//! It can make nothing but constants, texts, containers, and descriptions of PyTorch's storages and tensors.
//! What a pickle calls is never called: any other function or class yields an inert [`Node::Made`](super::node::Node::Made) that
//! keeps its name, so that training state beside the weights can be passed over.

use std::collections::HashMap;

use super::{
    machine::Machine,
    node::{Id, Node, Step},
};

/// A pickle's values.
pub(super) struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    /// Attributes of what was not made.
    states: HashMap<Id, Id>,
    /// Entries of what was not made.
    items: HashMap<Id, Vec<(Id, Id)>>,
    top: Id,
}

impl<'a> Pickle<'a> {
    /// Reads one pickle from the beginning of `bytes`.
    ///
    /// # Errors
    /// A text that says what is wrong with the pickle, and where.
    pub fn read(bytes: &'a [u8]) -> Step<Pickle<'a>> {
        let mut machine = Machine::new(bytes);
        loop {
            let at = bytes.len() - machine.bytes.len();
            match machine.step() {
                Ok(None) => {}
                Ok(Some(top)) => {
                    let Machine { nodes, states, items, .. } = machine;
                    return Ok(Pickle { nodes, states, items, top });
                }
                Err(reason) => return Err(format!("byte {at}: {reason}")),
            }
        }
    }

    /// The value that was pickled.
    pub fn top(&self) -> Id {
        self.top
    }

    pub fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    /// The attributes that the [`Node::Made`](super::node::Node::Made) `id` was to get, usually a dictionary.
    pub fn state(&self, id: Id) -> Option<Id> {
        self.states.get(&id).copied()
    }

    /// The entries that the [`Node::Made`](super::node::Node::Made) `id` was to get, as a dictionary of a class of its own.
    pub fn items(&self, id: Id) -> &[(Id, Id)] {
        self.items.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The numbers of a sequence of non-negative integers.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let Node::Sequence(items) = self.node(id) else { return None };
        let size = |&id: &Id| match self.node(id) {
            Node::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        };
        items.iter().map(size).collect()
    }
}
