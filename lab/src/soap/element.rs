//! A request as a small tree, with every prefix already resolved to its namespace.

use anyhow::{Context, Result, bail};
use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;

#[derive(Debug)]
pub(super) struct Element {
    pub namespace: String,
    pub name: String,
    pub attributes: Vec<Attribute>,
    pub children: Vec<Element>,
    pub text: String,
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub namespace: String,
    pub name: String,
    pub value: String,
}

/// Deeper nesting than this is no request that any client sends.
const DEPTH_MAX: usize = 64;

pub(super) fn parse(bytes: &[u8]) -> Result<Element> {
    let mut reader = NsReader::from_reader(bytes);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().context("the request is not well-formed XML")? {
            Event::Start(start) => {
                if open.len() >= DEPTH_MAX {
                    bail!("the request nests deeper than {DEPTH_MAX} elements");
                }
                open.push(element(&reader, &start)?);
            }
            Event::Empty(start) => close(element(&reader, &start)?, &mut open, &mut root)?,
            Event::End(_) => {
                let finished = open.pop().context("an element ends that never began")?;
                close(finished, &mut open, &mut root)?;
            }
            Event::Text(text) => append(&mut open, &text.decode()?)?,
            Event::CData(data) => append(&mut open, &data.decode()?)?,
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref()? {
                    Some(character) => character.to_string(),
                    None => named_entity(&reference.decode()?)?.to_owned(),
                };
                append(&mut open, &resolved)?;
            }
            Event::DocType(_) => bail!("a document type declaration is not allowed in SOAP"),
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
    if !open.is_empty() {
        bail!("the request ends in the middle of <{}>", open[open.len() - 1].name);
    }
    root.context("the request is empty")
}

fn named_entity(name: &str) -> Result<&'static str> {
    quick_xml::escape::resolve_predefined_entity(name).with_context(|| format!("unknown entity &{name};"))
}

fn append(open: &mut [Element], text: &str) -> Result<()> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => bail!("text outside the root element"),
    }
    Ok(())
}

fn close(finished: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<()> {
    match open.last_mut() {
        Some(parent) => parent.children.push(finished),
        None if root.is_none() => *root = Some(finished),
        None => bail!("the request has two root elements"),
    }
    Ok(())
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart) -> Result<Element> {
    let (namespace, local) = reader.resolver().resolve_element(start.name());
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
        attributes.push(Attribute {
            namespace: bound(namespace)?,
            name: String::from_utf8(local.as_ref().to_vec())?,
            value: attribute.unescape_value()?.into_owned(),
        });
    }
    Ok(Element {
        namespace: bound(namespace)?,
        name: String::from_utf8(local.as_ref().to_vec())?,
        attributes,
        children: Vec::new(),
        text: String::new(),
    })
}

fn bound(namespace: ResolveResult) -> Result<String> {
    match namespace {
        ResolveResult::Bound(namespace) => Ok(String::from_utf8(namespace.0.to_vec())?),
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Unknown(prefix) => bail!("the prefix {} is bound to nothing", String::from_utf8_lossy(&prefix)),
    }
}
