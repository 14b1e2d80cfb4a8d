//! What the hub's cache holds of one repository, as Hugging Face's libraries lay it out:
//!
//! ```text
//! models--owner--name/refs/main                  the commit that a branch or tag was at
//!                     snapshots/COMMIT/FILE      a link into blobs/
//!                     .no_exist/COMMIT/FILE      empty: the hub was asked, and has no such file
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Id;

pub(super) struct Kept {
    folder: PathBuf,
    revision: String,
}

impl Kept {
    pub fn new(cache: &Path, id: &Id) -> Kept {
        let folder = cache.join(format!("models--{}", id.repo.replace('/', "--")));
        Kept { folder, revision: id.revision().into() }
    }

    pub fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// The commit whose files are kept for the revision.
    pub fn commit(&self) -> Option<String> {
        let named = fs::read_to_string(self.folder.join("refs").join(&self.revision)).ok();
        let commit = named.map_or_else(|| self.revision.clone(), |text| text.trim().into());
        let one = !commit.is_empty() && !commit.contains(['/', '\\']) && commit != "..";
        (one && self.folder.join("snapshots").join(&commit).is_dir()).then_some(commit)
    }

    /// The file of this name, where it is kept whole: a link whose blob is gone is not.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let file = self.folder.join("snapshots").join(self.commit()?).join(name);
        file.is_file().then_some(file)
    }

    /// The names of the files in a folder of the snapshot, `""` being the snapshot itself.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let Some(commit) = self.commit() else { return Vec::new() };
        let folder = self.folder.join("snapshots").join(commit).join(folder);
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let files = entries.filter(|entry| entry.path().is_file());
        files.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Whether the hub is known not to have a file in `commit`.
    pub fn lacks(&self, commit: &str, name: &str) -> bool {
        self.absent(commit, name).is_file()
    }

    /// Remembers that the hub does not have a file. A cache that cannot be written costs a question the next time.
    pub fn remember_absent(&self, commit: &str, name: &str) {
        let file = self.absent(commit, name);
        let made = file.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok());
        if made && !file.exists() {
            fs::write(file, "").ok();
        }
    }

    fn absent(&self, commit: &str, name: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit).join(name)
    }
}
