//! One network of a file, as its tensors' names show it.

use super::naming::Names;

/// One network of a file.
pub(super) struct Candidate {
    /// What stands before its own names, the last dot included.
    pub prefix: String,
    /// Its family.
    pub names: &'static Names,
    /// The parameters that its family knows: canonical names, and places among the file's entries.
    pub members: Vec<(String, usize)>,
    /// Whether it begins and goes on as a network does.
    pub whole: bool,
    pub averaged: bool,
}

impl Candidate {
    /// Where it stands, for people.
    pub fn name(&self) -> &str {
        self.prefix.trim_end_matches('.')
    }

    /// Whether `name` means it: all of what stands before its names, or some whole components of that.
    pub fn is_named(&self, name: &str) -> bool {
        self.name() == name || !name.is_empty() && format!(".{}", self.prefix).contains(&format!(".{name}."))
    }
}
