//! Numbers and lists in sentences.

use std::fmt::Display;

/// `1 case`, `2 cases`.
pub(crate) fn counted(number: impl Display, thing: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// `a, b or c`.
pub(crate) fn either(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_thing_and_the_last_of_a_list_follows_or() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "case")), ["0 cases", "1 case", "2 cases"]);
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([1, 2, 3].map(|n| either(&items[..n])), ["a", "a or b", "a, b or c"]);
    }
}
