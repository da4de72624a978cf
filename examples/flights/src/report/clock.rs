//! Times as a person writes them, in UTC.

use angzarr_runtime::prost_types::Timestamp;

/// `2013-02-08 14:00`.
pub fn show_time(seconds: i64) -> String {
    let text = Timestamp { seconds, nanos: 0 }.to_string();
    text.get(..16).map_or(text.clone(), |shown| shown.replace('T', " "))
}

/// Reads `2013-02-08 14:00`, with seconds or without, or RFC 3339; a day alone is its end.
///
/// # Errors
/// It is none of these.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let mut full = text.trim().replace(' ', "T");
    if full.len() == 10 {
        full.push_str("T23:59:59");
    }
    if full.len() == 16 {
        full.push_str(":00");
    }
    if full.len() == 19 {
        full.push('Z');
    }
    let time = full.parse::<Timestamp>();
    time.map(|time| time.seconds).map_err(|_| format!("`{text}` is no time; write it like \"2013-02-08 14:00\" (UTC)"))
}

/// Like [`parse_time`], for what begins at a moment: the end of a day is not what anybody means then.
///
/// # Errors
/// It is no time, or a day without one.
pub fn parse_moment(text: &str) -> Result<i64, String> {
    if text.trim().len() == 10 {
        return Err(format!("`{text}` is a whole day; add the time: \"{} 20:00\" (UTC)", text.trim()));
    }
    parse_time(text)
}

/// Reads a day of the timetable: `2013-02-08` as 20130208.
///
/// # Errors
/// It is none.
pub fn parse_day(text: &str) -> Result<u32, String> {
    text.replace('-', "").parse().map_err(|_| format!("`{text}` is no day; write it like 2013-02-08"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read() {
        assert_eq!(parse_time("2013-02-08 14:00"), Ok(1_360_332_000));
        assert_eq!(show_time(1_360_332_000), "2013-02-08 14:00");
        assert_eq!(parse_time("2013-02-08T14:00:00Z"), Ok(1_360_332_000));
        assert_eq!(parse_time("2013-02-08"), Ok(1_360_367_999));
        assert_eq!(parse_moment("2013-02-08T14:00"), Ok(1_360_332_000));
        assert!(parse_moment("2013-02-08").unwrap_err().contains("add the time"));
        assert_eq!(parse_day("2013-02-08"), Ok(20_130_208));
        assert!(parse_day("yesterday").unwrap_err().contains("write it like"));
        assert!(parse_time("yesterday").unwrap_err().contains("write it like"));
    }
}
