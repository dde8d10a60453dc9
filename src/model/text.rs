//! Text that people can see: what may not be in a name, a label or a note, and files of text.
//!
//! What nobody sees can make two names look the same, reverse the order of a line, or move a cursor
//! (Unicode Technical Report #36). People are told of it; what carriers send loses it.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// The first character of a text that nobody sees.
#[must_use]
pub fn unseen(text: &str) -> Option<char> {
    text.chars().find(|c| is_unseen(*c))
}

/// How it is told: what is wrong, and what to type.
#[must_use]
pub fn unseen_fault(text: &str) -> Option<(String, &'static str)> {
    let c = unseen(text)?;
    let message = format!("{text:?} has a character that cannot be seen, U+{:04X}", u32::from(c));
    Some((message, "type it anew, with ordinary letters and spaces"))
}

/// The text without what nobody sees, every kind of space as the ordinary one.
#[must_use]
pub fn visible(text: &str) -> String {
    let shown = |c: char| match c.general_category() {
        _ if !is_unseen(c) => Some(c),
        GeneralCategory::SpaceSeparator => Some(' '),
        _ => None,
    };
    text.chars().filter_map(shown).collect()
}

/// Control characters, marks of direction and of joining, spaces other than the ordinary one,
/// separators of lines, and what has no meaning that all share: private and unassigned characters,
/// and U+FFFD, which stands for bytes that were no text.
fn is_unseen(c: char) -> bool {
    if (' '..='~').contains(&c) {
        return false;
    }
    let by_category = matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
    );
    by_category || is_ignorable(c) || matches!(c, '\u{2800}' | '\u{fffd}')
}

/// Letters and marks that are shown as nothing: `Default_Ignorable_Code_Point` beyond the categories
/// above (Unicode Standard Annex #44, `DerivedCoreProperties.txt`).
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// The text of a file.
///
/// # Errors
/// What it is instead of UTF-8, and to save it as that.
pub fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let is_utf_16 = bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || bytes.iter().take(2).any(|byte| *byte == 0);
    if is_utf_16 {
        return Err("it is written in UTF-16: save it as UTF-8".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let bad_at = error.utf8_error().valid_up_to();
        let line = String::from_utf8_lossy(&error.as_bytes()[..bad_at]).matches('\n').count() + 1;
        format!("line {line} has a letter that is not written in UTF-8: save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_found_and_taken_out() {
        for c in [
            '\0',
            '\t',
            '\n',
            '\r',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            '\u{2800}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{fffd}',
            '\u{ffff}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{f0000}',
        ] {
            let text = format!("a{c}b");
            assert_eq!(unseen(&text), Some(c), "{c:?}");
            assert_eq!(visible(&text), "ab", "{c:?}");
        }
        for space in ['\u{a0}', '\u{1680}', '\u{2003}', '\u{202f}', '\u{205f}', '\u{3000}'] {
            let text = format!("a{space}b");
            assert_eq!(unseen(&text), Some(space), "{space:?}");
            assert_eq!(visible(&text), "a b", "{space:?}");
        }
    }

    #[test]
    fn what_people_write_may_stay() {
        for text in [
            "",
            "a b",
            "Zoë",
            "e\u{301}",
            "東京",
            "Ελλάδα",
            "שלום",
            "مرحبا",
            "हिन्दी",
            "☎ 🙂",
            "«½»",
            "~{|}",
        ] {
            assert_eq!(unseen(text), None, "{text}");
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_known_for_what_it_is() {
        let utf_16 = |mark: &[u8], order: fn(u16) -> [u8; 2]| {
            let letters = "dids:".encode_utf16().flat_map(order);
            decode(mark.iter().copied().chain(letters).collect()).unwrap_err()
        };
        for told in [
            utf_16(&[0xff, 0xfe], u16::to_le_bytes),
            utf_16(&[0xfe, 0xff], u16::to_be_bytes),
            utf_16(&[], u16::to_le_bytes),
            utf_16(&[], u16::to_be_bytes),
        ] {
            assert_eq!(told, "it is written in UTF-16: save it as UTF-8");
        }
        let latin_1 = decode(b"a: 1\nname: Zo\xeb\n".to_vec()).unwrap_err();
        assert!(latin_1.starts_with("line 2 ") && latin_1.ends_with("as UTF-8"), "{latin_1}");
        for good in ["", "a", "\u{feff}a: Zoë"] {
            assert_eq!(decode(good.into()).as_deref(), Ok(good));
        }
    }
}
