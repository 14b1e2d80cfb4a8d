//! The stack machine that a pickle is a program for.

use std::collections::HashMap;

use super::node::{Id, Node, Step, called, stored};

/// Bounds the memory that a small pickle can ask for; a network of some hundred layers with its optimizer makes some 50,000 nodes.
const MAX_NODES: usize = 1 << 20;

/// The machine's state, between instructions.
#[derive(Default)]
pub(super) struct Machine<'a> {
    /// What is still to be read.
    pub bytes: &'a [u8],
    pub nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// What BUILD was to give to what was not made, the last one only.
    pub states: HashMap<Id, Id>,
    /// What was to be put into it.
    pub items: HashMap<Id, Vec<(Id, Id)>>,
}

impl<'a> Machine<'a> {
    /// The machine before the first instruction of the pickle `bytes`.
    pub fn new(bytes: &'a [u8]) -> Machine<'a> {
        Machine { bytes, ..Machine::default() }
    }

    /// Carries out one instruction; the value, when it was the last.
    pub fn step(&mut self) -> Step<Option<Id>> {
        let [code] = self.take_array()?;
        match code {
            // PROTO, FRAME: the protocol's number and a length, neither of which is needed
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let id = self.last()?;
                self.stack.push(id);
            }
            // None, True, False
            b'N' | 0x88 | 0x89 => self.push(Node::Plain)?,
            b'J' => {
                let value = i32::from_le_bytes(self.take_array()?);
                self.push(Node::Int(value.into()))?;
            }
            b'K' => {
                let [value] = self.take_array()?;
                self.push(Node::Int(value.into()))?;
            }
            b'M' => {
                let value = u16::from_le_bytes(self.take_array()?);
                self.push(Node::Int(value.into()))?;
            }
            // LONG1, LONG4
            0x8a | 0x8b => {
                let length = self.length(if code == 0x8a { 1 } else { 4 })?;
                let node = integer(self.take(length)?);
                self.push(node)?;
            }
            b'G' => {
                let value = f64::from_be_bytes(self.take_array()?);
                self.push(Node::Float(value))?;
            }
            // BINUNICODE and its short and long forms
            b'X' | 0x8c | 0x8d => {
                let length = self.length(match code {
                    0x8c => 1,
                    b'X' => 4,
                    _ => 8,
                })?;
                let text = std::str::from_utf8(self.take(length)?).map_err(|_| "a text that is not UTF-8")?;
                self.push(Node::Text(text))?;
            }
            // Bytes and Python 2's strings, short and long, and bytearrays
            b'C' | b'U' | b'B' | b'T' | 0x8e | 0x96 => {
                let length = self.length(match code {
                    b'C' | b'U' => 1,
                    b'B' | b'T' => 4,
                    _ => 8,
                })?;
                self.take(length)?;
                self.push(Node::Plain)?;
            }
            b']' | b')' | 0x8f => self.push(Node::Sequence(Vec::new()))?,
            // TUPLE, FROZENSET
            b't' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Node::Sequence(items))?;
            }
            0x85..=0x87 => {
                let at = self.height_of(usize::from(code - 0x84))?;
                let items = self.stack.split_off(at);
                self.push(Node::Sequence(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            // APPENDS, ADDITEMS
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend(items)?;
            }
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b's' => {
                let at = self.height_of(2)?;
                let entry = self.stack.split_off(at);
                self.set_items(&entry)?;
            }
            b'u' => {
                let entries = self.pop_to_mark()?;
                self.set_items(&entries)?;
            }
            b'c' => {
                let (module, name) = (self.take_line()?, self.take_line()?);
                self.push(Node::Global(module, name))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.node(module), self.node(name)) {
                    (&Node::Text(module), &Node::Text(name)) => self.push(Node::Global(module, name))?,
                    _ => return Err("a function without a name".into()),
                }
            }
            // REDUCE, NEWOBJ: a call of what stands below its arguments
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = called(&self.nodes, function, arguments)?;
                self.push(made)?;
            }
            // NEWOBJ_EX: the same with named arguments
            0x92 => {
                let (_named, arguments, function) = (self.pop()?, self.pop()?, self.pop()?);
                let made = called(&self.nodes, function, arguments)?;
                self.push(made)?;
            }
            // BUILD: attributes of an object
            b'b' => {
                let (state, object) = (self.pop()?, self.last()?);
                if matches!(self.node(object), Node::Made(..)) {
                    self.states.insert(object, state);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = stored(&self.nodes, id)?;
                self.push(storage)?;
            }
            b'h' => {
                let [key] = self.take_array()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = self.take_array().map(u32::from_le_bytes)?;
                self.recall(key)?;
            }
            b'q' => {
                let [key] = self.take_array()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = self.take_array().map(u32::from_le_bytes)?;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            _ => return Err(format!("instruction 0x{code:02x} is none that PyTorch writes")),
        }
        Ok(None)
    }

    fn take(&mut self, length: usize) -> Step<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or("the pickle is cut off")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Step<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    fn take_line(&mut self) -> Step<&'a str> {
        let length = self.bytes.iter().position(|&b| b == b'\n').ok_or("a name without an end")?;
        let line = self.take(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|_| "a name that is not UTF-8".into())
    }

    /// A length of `width` bytes, 1 to 8.
    fn length(&mut self, width: usize) -> Step<usize> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| "a length beyond memory".into())
    }

    fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    fn push(&mut self, node: Node<'a>) -> Step<()> {
        if self.nodes.len() == MAX_NODES {
            return Err(format!("more than {MAX_NODES} values"));
        }
        self.stack.push(Id(self.nodes.len() as u32));
        self.nodes.push(node);
        Ok(())
    }

    /// Where the top `count` values begin; those below a mark are out of reach.
    fn height_of(&self, count: usize) -> Step<usize> {
        let floor = self.marks.last().map_or(0, |&mark| mark);
        let at = self.stack.len().checked_sub(count).filter(|&at| at >= floor);
        at.ok_or_else(|| "a value is missing".into())
    }

    fn last(&self) -> Step<Id> {
        self.height_of(1).map(|at| self.stack[at])
    }

    fn pop(&mut self) -> Step<Id> {
        let at = self.height_of(1)?;
        Ok(self.stack.remove(at))
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    /// Adds `items` to the sequence on top of the stack.
    fn extend(&mut self, items: Vec<Id>) -> Step<()> {
        let id = self.last()?;
        match &mut self.nodes[id.0 as usize] {
            Node::Sequence(list) => list.extend(items),
            Node::Made(..) => {}
            _ => return Err("items for what is no list".into()),
        }
        Ok(())
    }

    /// Adds keys and values in turn to the dictionary on top of the stack.
    fn set_items(&mut self, items: &[Id]) -> Step<()> {
        let id = self.last()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match &mut self.nodes[id.0 as usize] {
            Node::Dict(_) if !rest.is_empty() => return Err("a key without a value".into()),
            Node::Dict(entries) => entries.extend(pairs.iter().map(|&[key, value]| (key, value))),
            Node::Made(..) => {
                self.items.entry(id).or_default().extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            _ => return Err("entries for what is no dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Step<()> {
        let id = self.last()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Step<()> {
        let id = *self.memo.get(&key).ok_or("a value that was not remembered")?;
        self.stack.push(id);
        Ok(())
    }
}

/// A two's-complement little-endian integer; what needs more than 64 bits counts nothing here.
fn integer<'a>(bytes: &[u8]) -> Node<'a> {
    let Some(&last) = bytes.last() else { return Node::Int(0) };
    if bytes.len() > 8 {
        return Node::Plain;
    }
    let mut wide = [if last & 0x80 == 0 { 0 } else { 0xff }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(wide))
}
