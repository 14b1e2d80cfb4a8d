//! Names on the Hugging Face hub to files on this machine, through the hub's usual cache.
//!
//! [`Id`] says what a name means. `Hub` fetches it (feature `hub`).

#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod env;
#[cfg(feature = "hub")]
mod fetch;
mod id;
mod weights;

#[cfg(feature = "hub")]
pub use fetch::{Fetched, Hub};
pub use id::Id;
pub use weights::is_weights_name;
pub(crate) use weights::pick;

/// What people call the variants that timm keeps on the hub.
pub(crate) const VARIANTS: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];

/// timm's repository of a variant.
pub(crate) fn timm(variant: &str) -> String {
    format!("timm/mobileone_{variant}.apple_in1k")
}

/// The server's address, without a slash at the end: `HF_ENDPOINT`, else the hub's own.
fn endpoint() -> String {
    let set = std::env::var("HF_ENDPOINT").ok().filter(|value| !value.trim().is_empty());
    let endpoint = set.unwrap_or_else(|| "https://huggingface.co".into());
    endpoint.trim().trim_end_matches('/').into()
}
