//! States as bytes: [`encode`] and [`decode`], for implementations of [`crate::Env::snapshot`].
//!
//! Every snapshot begins with a tag. Bytes of another environment or wrapper have another tag and are refused.

use serde::{Serialize, de::DeserializeOwned};

use crate::EnvError;

/// Serialises `state` under the tag `kind`, usually the environment's id.
///
/// # Errors
/// When `state` cannot be serialised, as for a sequence of unknown length.
pub fn encode<T: Serialize>(kind: &str, state: &T) -> Result<Vec<u8>, EnvError> {
    postcard::to_allocvec(&(kind, state)).map_err(|e| EnvError::Failed {
        env: kind.to_string(),
        problem: format!("cannot write a snapshot: {e}"),
    })
}

/// Reads the state that [`encode`] wrote under the same tag.
///
/// # Errors
/// [`EnvError::Snapshot`] for another tag, for missing or additional bytes, and for bytes that are not a `T`.
pub fn decode<T: DeserializeOwned>(kind: &str, bytes: &[u8]) -> Result<T, EnvError> {
    let wrong = |problem: String| EnvError::Snapshot {
        env: kind.to_string(),
        problem,
    };
    let (found, rest) = postcard::take_from_bytes::<&str>(bytes).map_err(|_| wrong("it has no tag".to_string()))?;
    if found != kind {
        return Err(wrong(format!("it was taken from `{}`", found.escape_debug())));
    }
    let (state, rest) = postcard::take_from_bytes::<T>(rest).map_err(|e| wrong(e.to_string()))?;
    if !rest.is_empty() {
        return Err(wrong(format!("{} bytes are left over", rest.len())));
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_read_back_only_under_its_own_tag_and_at_full_length() {
        let bytes = encode("A-v0", &(1.5f64, 3u8)).expect("plain data");
        assert_eq!(decode::<(f64, u8)>("A-v0", &bytes).expect("written just now"), (1.5, 3));
        let problem = |kind: &str, bytes: &[u8]| decode::<(f64, u8)>(kind, bytes).expect_err("refused").to_string();
        assert!(problem("B-v0", &bytes).contains("taken from `A-v0`"));
        assert!(problem("A-v0", &bytes[..bytes.len() - 1]).contains("cannot restore"));
        assert!(problem("A-v0", &[&bytes[..], &[0]].concat()).contains("1 bytes are left over"));
        assert!(problem("A-v0", &[]).contains("no tag"));
    }
}
