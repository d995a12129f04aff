//! Pages of docs/ of which a test writes a part.

/// The page in three: up to the mark where `what` begins, that part, and from the mark where it
/// ends.
pub fn parts<'a>(page: &'a str, what: &str) -> (&'a str, &'a str, &'a str) {
    let (begin, end) = (format!("<!-- {what}: written by "), format!("<!-- end of {what} -->\n"));
    let begins =
        page.find(&begin).unwrap_or_else(|| panic!("the page has no mark where the {what} begins"));
    let line = page[begins..].find(" -->\n").expect("a mark that ends its line") + " -->\n".len();
    let (before, rest) = page.split_at(begins + line);
    let ends =
        rest.find(&end).unwrap_or_else(|| panic!("the page has no mark where the {what} ends"));
    (before, &rest[..ends], &rest[ends..])
}
