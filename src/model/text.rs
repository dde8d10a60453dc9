//! Text that people can see: what may not be in a name, a label or a note, and files of text.
//!
//! What nobody sees can make two names look the same, reverse the order of a line, or move a cursor
//! (Unicode Technical Report #36). People are told of it; what carriers send loses it.

use std::fmt::Write as _;

use unicode_properties::{GeneralCategory, UnicodeEmoji as _, UnicodeGeneralCategory as _};

/// The first character of a text that nobody sees.
#[must_use]
pub fn unseen(text: &str) -> Option<char> {
    characters(text).find(|(_, is_seen)| !is_seen).map(|(c, _)| c)
}

/// How it is told: what is wrong, and what to type.
#[must_use]
pub fn unseen_fault(text: &str) -> Option<(String, &'static str)> {
    let c = unseen(text)?;
    let mut shown = String::new();
    for (c, is_seen) in characters(text) {
        let _ = match (c, is_seen) {
            ('"' | '\\', _) => write!(shown, "\\{c}"),
            (_, true) => write!(shown, "{c}"),
            // The short form where there is one, as \n.
            (_, false) if c.is_ascii() => write!(shown, "{}", c.escape_debug()),
            (_, false) => write!(shown, "{}", c.escape_unicode()),
        };
    }
    let message =
        format!("\"{shown}\" has a character that cannot be seen, U+{:04X}", u32::from(c));
    Some((message, "type it anew, with ordinary letters and spaces"))
}

/// The text without what nobody sees, every kind of space as the ordinary one.
#[must_use]
pub fn visible(text: &str) -> String {
    let shown = |(c, is_seen): (char, bool)| match c.general_category() {
        _ if is_seen => Some(c),
        GeneralCategory::SpaceSeparator => Some(' '),
        _ => None,
    };
    characters(text).filter_map(shown).collect()
}

/// Each character, and whether people see it, or see what it does to those beside it.
fn characters(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut before = None;
    let mut rest = text.chars().peekable();
    std::iter::from_fn(move || {
        let c = rest.next()?;
        let after = rest.peek().copied();
        let is_seen = !is_unseen(c) || is_joined(before, c, after);
        before = is_seen.then_some(c);
        Some((c, is_seen))
    })
}

/// VARIATION SELECTOR-16.
const EMOJI_STYLE: char = '\u{fe0f}';

/// Whether it does what it is made for: gives an emoji its colours, makes one of two emoji (Unicode
/// Technical Standard #51), or says how two letters meet in a script that joins them (Unicode
/// Standard, 23.2). Between others it would only make two names look the same.
fn is_joined(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is_emoji = |c: char| !c.is_ascii() && c.is_emoji_char();
    let is_letter = |c: char| {
        let has_joins = matches!(c,
            '\u{600}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{18af}');
        has_joins && !is_unseen(c)
    };
    let Some(before) = before else { return false };
    let are_both = |is: &dyn Fn(char) -> bool| is(before) && after.is_some_and(is);
    match c {
        EMOJI_STYLE if before.is_ascii() => before.is_emoji_char() && after == Some('\u{20e3}'),
        EMOJI_STYLE => is_emoji(before),
        // ZERO WIDTH NON-JOINER, and JOINER
        '\u{200c}' => are_both(&is_letter),
        '\u{200d}' if before == EMOJI_STYLE => after.is_some_and(is_emoji),
        '\u{200d}' => are_both(&is_letter) || are_both(&is_emoji),
        _ => false,
    }
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
            "❤\u{fe0f} ☎\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "❤\u{fe0f}\u{200d}🔥",
            "👩\u{200d}👩\u{200d}👧",
            "👩🏽\u{200d}💻",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "~{|}",
        ] {
            assert_eq!(unseen(text), None, "{text}");
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn what_joins_nothing_is_not_seen() {
        for (text, shown) in [
            ("\u{fe0f}a", "a"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}"),
            ("1\u{fe0f}", "1"),
            ("❤\u{200d}", "❤"),
            ("❤\u{200d}a", "❤a"),
            ("❤ \u{200d}🔥", "❤ 🔥"),
            ("👩\u{200d}\u{200d}👧", "👩👧"),
            ("م\u{200c}", "م"),
            ("م\u{200c} م", "م م"),
            ("東\u{200c}京", "東京"),
            ("é\u{200d}é", "éé"),
        ] {
            assert!(unseen(text).is_some(), "{text:?}");
            assert_eq!(visible(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_nobody_sees_is_told_as_an_escape() {
        for (text, shown) in [
            ("a\u{3164}b", r#""a\u{3164}b""#),
            ("a\u{2800}b", r#""a\u{2800}b""#),
            ("\"\\\n", r#""\"\\\n""#),
            ("é\u{202e}e\u{301}", "\"é\\u{202e}e\u{301}\""),
        ] {
            let (message, _) = unseen_fault(text).unwrap();
            let (told, _) = message.split_once(" has a character").unwrap();
            assert_eq!(told, shown);
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
