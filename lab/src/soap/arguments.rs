//! The parameters of a call, taken one after the other in the order of the schema.
//!
//! vCenter refuses a request whose elements are missing or out of order, and many client libraries are used to
//! servers that do not. So nothing here looks an element up by name: it is the next one or it is missing.

use super::element::Element;
use super::{Fault, Moref, SCHEMA_INSTANCE, VIM};
use std::str::FromStr;

#[derive(Debug)]
pub(crate) struct Arguments {
    owner: String,
    kind: Option<String>,
    left: std::vec::IntoIter<Element>,
}

impl Arguments {
    pub(super) fn new(element: Element) -> Arguments {
        let kind = element
            .attributes
            .iter()
            .find(|attribute| attribute.namespace == SCHEMA_INSTANCE && attribute.name == "type")
            .map(|attribute| attribute.value.rsplit(':').next().unwrap_or_default().to_owned());
        Arguments { owner: element.name, kind, left: element.children.into_iter() }
    }

    /// What the type attribute says, without its prefix.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    fn next_if(&mut self, name: &str) -> Result<Option<Element>, Fault> {
        match self.left.as_slice().first() {
            Some(element) if element.name == name && element.namespace != VIM => {
                Err(Fault::request(format!("element {name} of {} is not in the namespace {VIM}", self.owner)))
            }
            Some(element) if element.name == name => Ok(self.left.next()),
            _ => Ok(None),
        }
    }

    fn required(&mut self, name: &str) -> Result<Element, Fault> {
        match self.next_if(name)? {
            Some(element) => Ok(element),
            None => {
                let found = self.left.as_slice().first().map_or("the end".to_owned(), |element| format!("<{}>", element.name));
                Err(Fault::request(format!("{}: expected <{name}> here, found {found}", self.owner)))
            }
        }
    }

    pub fn text(&mut self, name: &str) -> Result<String, Fault> {
        leaf(self.required(name)?)
    }

    pub fn text_optional(&mut self, name: &str) -> Result<Option<String>, Fault> {
        self.next_if(name)?.map(leaf).transpose()
    }

    pub fn texts(&mut self, name: &str) -> Result<Vec<String>, Fault> {
        let mut found = Vec::new();
        while let Some(text) = self.text_optional(name)? {
            found.push(text);
        }
        Ok(found)
    }

    pub fn boolean(&mut self, name: &str) -> Result<bool, Fault> {
        let text = self.text(name)?;
        boolean(name, &text)
    }

    pub fn boolean_optional(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        self.text_optional(name)?.map(|text| boolean(name, &text)).transpose()
    }

    pub fn number<T: FromStr>(&mut self, name: &str) -> Result<T, Fault> {
        let text = self.text(name)?;
        number(name, &text)
    }

    pub fn number_optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        self.text_optional(name)?.map(|text| number(name, &text)).transpose()
    }

    pub fn moref(&mut self, name: &str) -> Result<Moref, Fault> {
        moref(self.required(name)?)
    }

    pub fn moref_optional(&mut self, name: &str) -> Result<Option<Moref>, Fault> {
        self.next_if(name)?.map(moref).transpose()
    }

    pub fn morefs(&mut self, name: &str) -> Result<Vec<Moref>, Fault> {
        let mut found = Vec::new();
        while let Some(moref) = self.moref_optional(name)? {
            found.push(moref);
        }
        Ok(found)
    }

    pub fn object(&mut self, name: &str) -> Result<Arguments, Fault> {
        Ok(Arguments::new(self.required(name)?))
    }

    pub fn object_optional(&mut self, name: &str) -> Result<Option<Arguments>, Fault> {
        Ok(self.next_if(name)?.map(Arguments::new))
    }

    pub fn objects(&mut self, name: &str) -> Result<Vec<Arguments>, Fault> {
        let mut found = Vec::new();
        while let Some(object) = self.object_optional(name)? {
            found.push(object);
        }
        Ok(found)
    }

    /// Everything must have been taken.
    pub fn finish(mut self) -> Result<(), Fault> {
        match self.left.next() {
            None => Ok(()),
            Some(element) => {
                Err(Fault::request(format!("{}: element <{}> is unknown to the lab, repeated, or out of order", self.owner, element.name)))
            }
        }
    }
}

fn leaf(element: Element) -> Result<String, Fault> {
    if element.children.is_empty() {
        return Ok(element.text);
    }
    Err(Fault::request(format!("<{}> must hold text only", element.name)))
}

fn moref(element: Element) -> Result<Moref, Fault> {
    let kind = element.attributes.iter().find(|attribute| attribute.name == "type" && attribute.namespace.is_empty());
    let Some(kind) = kind.map(|attribute| attribute.value.clone()) else {
        return Err(Fault::request(format!("<{}> is a reference and needs the attribute type", element.name)));
    };
    Ok(Moref { kind, id: leaf(element)?.trim().to_owned() })
}

fn boolean(name: &str, text: &str) -> Result<bool, Fault> {
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(Fault::request(format!("<{name}> is no boolean: {other:?}"))),
    }
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, Fault> {
    text.trim().parse().map_err(|_| Fault::request(format!("<{name}> is no number of its type: {text:?}")))
}
