//! One network of a file, as its tensors' names show it.

/// One network of a file.
pub(super) struct Candidate {
    /// What stands before its own names, the last dot included.
    pub prefix: String,
    /// The stem's and the stages' parameters: canonical names, and places among the file's entries.
    pub members: Vec<(String, usize)>,
    pub averaged: bool,
}

impl Candidate {
    /// Where it stands, for people.
    pub fn name(&self) -> &str {
        self.prefix.trim_end_matches('.')
    }

    /// Whether it begins and goes on as a network does.
    pub fn is_whole(&self) -> bool {
        let has = |position: &str| self.members.iter().any(|(name, _)| name.starts_with(position));
        has("stem.") && has("stages.0.0.") && has("stages.0.1.")
    }

    /// Whether `name` means it: all of what stands before its names, or some whole components of that.
    pub fn is_named(&self, name: &str) -> bool {
        self.name() == name || !name.is_empty() && format!(".{}", self.prefix).contains(&format!(".{name}."))
    }
}
