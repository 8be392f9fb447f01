//! XML that is read holds text that can be written and read again as it is, between tags and in attributes.

use transload_guest::xml::{Element, escaped, parse};

use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let root = parse(bytes);
    if let Ok(root) = &root {
        written_again(root);
    }
    Outcome::of(&root)
}

fn written_again(element: &Element) {
    let text = escaped(element.text());
    let again = parse(format!("<n a=\"{text}\">{text}</n>").as_bytes()).expect("what is escaped is readable");
    assert_eq!(again.text(), element.text());
    assert_eq!(again.attribute("a"), Some(element.text()));
    element.children().iter().for_each(written_again);
}

pub fn examples() -> Vec<Vec<u8>> {
    let typed = r#"<?xml version="1.0"?><e:a xmlns:e="urn:e" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><b i:type="v:Disk" c="d&#10;">x</b></e:a>"#;
    let text = "<a>x &lt;&amp;&gt; &#65;&#x42;<![CDATA[<c>]]><!-- no --></a>";
    vec![typed.into(), text.into()]
}
