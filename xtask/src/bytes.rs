//! Bytes as text: digits of a digest, and sizes for people.

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number of bytes in decimal units, as package indexes show it.
pub fn size(bytes: u64) -> String {
    let mb = bytes as f64 / 1e6;
    if mb >= 1000.0 {
        format!("{:.1} GB", mb / 1000.0)
    } else {
        format!("{mb:.1} MB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_like_the_index_shows_them() {
        assert_eq!(size(530_604_548), "530.6 MB");
        assert_eq!(size(2_512_000_000), "2.5 GB");
        assert_eq!(size(0), "0.0 MB");
    }

    #[test]
    fn each_byte_is_two_digits() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
