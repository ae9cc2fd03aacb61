//! Serde's messages in words of users: [`plain_words`].

/// Serde's message about a value of the wrong type or range, in words of users, who may not know the types of Rust:
/// `invalid type: string "x", expected u32` becomes `expected a whole number from 0 to 4294967295`. Other messages stay
/// as they are.
pub fn plain_words(message: &str) -> String {
    let message = message.lines().next().unwrap_or(message).trim_end();
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_string();
    };
    if !found.starts_with("invalid ") {
        return message.to_string();
    }
    let plain = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "text, in quotes",
        "a character" => "a character, in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        "variant identifier" => "text, in quotes",
        _ if expected.starts_with("a nonzero u") => "a whole number, at least 1",
        _ if expected.starts_with("a nonzero i") => "a whole number other than 0",
        _ if expected.starts_with("struct ") => "a table",
        _ if expected.starts_with("enum ") => "one of the names of choices, in quotes",
        _ => match list_length(expected) {
            Some(length) => return format!("expected a list of {length}"),
            None => expected,
        },
    };
    match plain.strip_prefix("expected ") {
        Some(_) => plain.to_string(),
        None => format!("expected {plain}"),
    }
}

/// The length in `a tuple of size 2` and `an array of length 2`.
fn list_length(expected: &str) -> Option<&str> {
    let array = expected.strip_prefix("an array of length ");
    array.or_else(|| expected.strip_prefix("a tuple of size "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_rust_are_put_in_plain_words_and_other_messages_stay() {
        for (message, plain) in [
            (
                "invalid type: string \"two\", expected u32",
                "expected a whole number from 0 to 4294967295",
            ),
            (
                "invalid value: integer `0`, expected a nonzero usize",
                "expected a whole number, at least 1",
            ),
            (
                "invalid type: map, expected a tuple of size 2\nin `x`",
                "expected a list of 2",
            ),
            (
                "invalid length 3, expected an array of length 2",
                "expected a list of 2",
            ),
            (
                "invalid type: integer `1`, expected \"a\" or \"b\"",
                "expected \"a\" or \"b\"",
            ),
            ("expected a body's name or number", "expected a body's name or number"),
        ] {
            assert_eq!(plain_words(message), plain);
        }
    }
}
