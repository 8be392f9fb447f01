//! XML replies as a tree, with namespaces resolved: prefixes are the sender's choice, so nothing here ever compares one.

use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use crate::fault::Fault;

/// The namespace of `type` and `nil` attributes.
pub const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Deeper replies do not exist; a hostile one must not exhaust the stack.
const DEPTH_MAX: usize = 128;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// The local name.
    pub name: String,
    attributes: Vec<Attribute>,
    text: String,
    children: Vec<Element>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Attribute {
    namespace: Option<String>,
    name: String,
    value: String,
}

impl Element {
    /// The first child of that local name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    pub fn children(&self) -> &[Element] {
        &self.children
    }

    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Follows child names downwards.
    pub fn at(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The text directly in this element, exactly as sent.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a child; none when there is no such child.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(Element::text)
    }

    /// An attribute without a namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.find(None, name)
    }

    /// The `xsi:type`, whatever prefix is bound to that namespace, without the prefix of the type's own name.
    pub fn xsi_type(&self) -> Option<&str> {
        self.find(Some(XSI), "type").map(|value| value.rsplit(':').next().unwrap_or(value))
    }

    fn find(&self, namespace: Option<&str>, name: &str) -> Option<&str> {
        let wanted = |attribute: &&Attribute| attribute.namespace.as_deref() == namespace && attribute.name == name;
        self.attributes.iter().find(wanted).map(|attribute| attribute.value.as_str())
    }
}

/// Text that is safe between tags and in attributes. A reader takes a bare carriage return for a line's end, and in an attribute a line's
/// end for a space, so those are written as what they are.
pub fn escaped(text: &str) -> String {
    escape(text).replace('\r', "&#13;").replace('\n', "&#10;").replace('\t', "&#9;")
}

/// Reads one document. Document types are refused: no reply we know needs one, and entities are how XML attacks its readers.
pub fn parse(bytes: &[u8]) -> Result<Element, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| broken("it is not UTF-8"))?;
    let mut reader = NsReader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    loop {
        match reader.read_event().map_err(broken)? {
            Event::Start(start) => {
                if open.len() == DEPTH_MAX {
                    return Err(broken("it is nested too deeply"));
                }
                open.push(element(&reader, &start)?);
            }
            Event::Empty(start) => {
                let done = element(&reader, &start)?;
                if let Some(root) = close(&mut open, done) {
                    return Ok(root);
                }
            }
            Event::End(_) => {
                let done = open.pop().ok_or_else(|| broken("an end without a start"))?;
                if let Some(root) = close(&mut open, done) {
                    return Ok(root);
                }
            }
            Event::Text(text) => append(&mut open, &text.xml_content().map_err(broken)?),
            Event::CData(text) => append(&mut open, &text.decode().map_err(broken)?),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(broken)? {
                Some(character) => append(&mut open, character.encode_utf8(&mut [0; 4])),
                None => {
                    let name = reference.decode().map_err(broken)?;
                    append(&mut open, resolve_predefined_entity(&name).ok_or_else(|| broken("an unknown entity"))?);
                }
            },
            Event::DocType(_) => return Err(broken("it carries a document type")),
            Event::Eof => return Err(broken("it ends too early")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Element, Fault> {
    let mut element = Element { name: word(start.local_name().as_ref())?, ..Element::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(broken)?;
        let (namespace, name) = reader.resolve_attribute(attribute.key);
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => Some(word(namespace.as_ref())?),
            ResolveResult::Unbound => None,
            // An undeclared prefix cannot be told from another one; such an attribute is nobody's.
            ResolveResult::Unknown(_) => continue,
        };
        let value = attribute.unescape_value().map_err(broken)?.into_owned();
        element.attributes.push(Attribute { namespace, name: word(name.as_ref())?, value });
    }
    Ok(element)
}

/// Puts a finished element into its parent; answers it when it has none.
fn close(open: &mut [Element], mut done: Element) -> Option<Element> {
    // Line breaks between children are layout, not content.
    if !done.children.is_empty() {
        done.text.clear();
    }
    match open.last_mut() {
        Some(parent) => {
            parent.children.push(done);
            None
        }
        None => Some(done),
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn word(bytes: &[u8]) -> Result<String, Fault> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| broken("a name is not UTF-8"))
}

fn broken(why: impl std::fmt::Display) -> Fault {
    Fault::corrupt(format!("The reply is not readable XML: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_attribute_is_found_by_namespace_under_any_prefix() {
        for prefix in ["xsi", "XMLSchema-instance", "i"] {
            let text = format!(r#"<a xmlns:{prefix}="{XSI}" xmlns:vim="urn:vim25"><b {prefix}:type="vim:VirtualDisk" type="X"/></a>"#);
            let root = parse(text.as_bytes()).unwrap();
            assert_eq!(root.child("b").unwrap().xsi_type(), Some("VirtualDisk"), "{prefix}");
            assert_eq!(root.child("b").unwrap().attribute("type"), Some("X"));
        }
        let other = parse(br#"<a xmlns:xsi="urn:something-else"><b xsi:type="VirtualDisk"/></a>"#).unwrap();
        assert_eq!(other.child("b").unwrap().xsi_type(), None);
    }

    #[test]
    fn entities_cdata_and_character_references_become_text() {
        let root = parse(b"<?xml version=\"1.0\"?><a>x &lt;&amp;&gt; &#65;&#x42;<![CDATA[<c>]]></a>").unwrap();
        assert_eq!(root.text(), "x <&> AB<c>");
    }

    #[test]
    fn what_is_escaped_reads_back_the_same() {
        let nasty = "a<b>&\"c\"'d' & é\r\n\te\rf";
        let element = parse(format!("<n a=\"{0}\">{0}</n>", escaped(nasty)).as_bytes()).unwrap();
        assert_eq!((element.text(), element.attribute("a")), (nasty, Some(nasty)));
    }

    #[test]
    fn truncated_foreign_and_hostile_documents_are_refused() {
        for bad in [&b"<a><b></a>"[..], b"<a>", b"", b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", b"<a>&x;</a>", b"\xff\xfe"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(parse("<a>".repeat(DEPTH_MAX + 1).as_bytes()).unwrap_err().message.contains("deep"));
    }
}
