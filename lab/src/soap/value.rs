//! Typed values of the vSphere data model and how they are written.
//!
//! A type attribute is written where the schema needs one and nowhere else: on `val`, on `anyType`, and on a subtype
//! in the place of its base. A client that relies on more would fail against a real vCenter.

use std::fmt::Write;

/// The reference to a managed object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moref {
    pub kind: String,
    pub id: String,
}

impl Moref {
    pub fn new(kind: &str, id: &str) -> Moref {
        Moref { kind: kind.to_owned(), id: id.to_owned() }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// The schema knows the property, this object has none. Written as nothing.
    Unset,
    Text(String),
    Boolean(bool),
    Int(i32),
    Long(i64),
    Time(jiff::Timestamp),
    /// A member of the named enumeration.
    Enum(&'static str, String),
    Moref(Moref),
    Object(Object),
    /// Elements of the named type.
    List(&'static str, Vec<Value>),
    /// Declared as `anyType`, so it always says its type.
    Any(Box<Value>),
}

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub kind: &'static str,
    /// Stands where the schema declares a base type.
    subtype: bool,
    pub fields: Vec<(&'static str, Value)>,
}

impl Object {
    pub fn new(kind: &'static str) -> Object {
        Object { kind, subtype: false, fields: Vec::new() }
    }

    pub fn subtype(kind: &'static str) -> Object {
        Object { kind, subtype: true, fields: Vec::new() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Object {
        self.fields.push((name, value.into()));
        self
    }

    /// A property that the schema has and this object does not.
    pub fn without(self, name: &'static str) -> Object {
        self.with(name, Value::Unset)
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }
}

macro_rules! value_from {
    ($($from:ty => $to:expr),* $(,)?) => {
        $(impl From<$from> for Value { fn from(value: $from) -> Value { ($to)(value) } })*
    };
}
value_from! {
    &str => |text: &str| Value::Text(text.to_owned()),
    String => Value::Text,
    &String => |text: &String| Value::Text(text.clone()),
    bool => Value::Boolean,
    i32 => Value::Int,
    i64 => Value::Long,
    u64 => |number: u64| Value::Long(number as i64),
    jiff::Timestamp => Value::Time,
    Moref => Value::Moref,
    &Moref => |moref: &Moref| Value::Moref(moref.clone()),
    Object => Value::Object,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Unset, Into::into)
    }
}

impl Value {
    pub fn list<T: Into<Value>>(kind: &'static str, items: impl IntoIterator<Item = T>) -> Value {
        Value::List(kind, items.into_iter().map(Into::into).collect())
    }

    pub fn morefs(items: impl IntoIterator<Item = Moref>) -> Value {
        Value::list("ManagedObjectReference", items)
    }

    pub fn any(value: impl Into<Value>) -> Value {
        Value::Any(Box::new(value.into()))
    }

    /// Writes the value as element `name`, with its type only where the schema asks for it.
    pub fn write(&self, out: &mut Output, name: &str) {
        match self {
            Value::Unset => {}
            Value::List(_, items) => items.iter().for_each(|item| item.write(out, name)),
            Value::Any(value) => value.write_typed(out, name),
            Value::Object(object) if object.subtype => self.write_typed(out, name),
            Value::Moref(moref) => out.open(name, &[("type", &moref.kind)]).text(&moref.id).close(name),
            _ => {
                out.open(name, &[]);
                self.write_content(out);
                out.close(name);
            }
        }
    }

    /// Writes the value as element `name` and says its type.
    pub fn write_typed(&self, out: &mut Output, name: &str) {
        let attribute = format!("{}:type", out.instance_prefix);
        match self {
            Value::Unset => return,
            Value::Any(value) => return value.write_typed(out, name),
            Value::Moref(moref) => out.open(name, &[("type", &moref.kind), (&attribute, "ManagedObjectReference")]),
            other => out.open(name, &[(&attribute, &other.kind())]),
        };
        self.write_content(out);
        out.close(name);
    }

    /// The value alone, for comparing it with an earlier one.
    pub fn to_xml(&self) -> String {
        let mut out = Output::new("xsi");
        self.write_typed(&mut out, "val");
        out.xml
    }

    fn write_content(&self, out: &mut Output) {
        match self {
            Value::Unset => {}
            Value::Text(text) | Value::Enum(_, text) => {
                out.text(text);
            }
            Value::Boolean(value) => {
                out.text(if *value { "true" } else { "false" });
            }
            Value::Int(number) => {
                out.text(&number.to_string());
            }
            Value::Long(number) => {
                out.text(&number.to_string());
            }
            Value::Time(time) => {
                out.text(&time.to_string());
            }
            Value::Moref(moref) => {
                out.text(&moref.id);
            }
            Value::Object(object) => object.fields.iter().for_each(|(name, value)| value.write(out, name)),
            Value::List(kind, items) => items.iter().for_each(|item| item.write(out, kind)),
            Value::Any(value) => value.write_content(out),
        }
    }

    fn kind(&self) -> String {
        match self {
            Value::Text(_) => "xsd:string".into(),
            Value::Boolean(_) => "xsd:boolean".into(),
            Value::Int(_) => "xsd:int".into(),
            Value::Long(_) => "xsd:long".into(),
            Value::Time(_) => "xsd:dateTime".into(),
            Value::Enum(kind, _) => (*kind).into(),
            Value::Moref(_) => "ManagedObjectReference".into(),
            Value::Object(object) => object.kind.into(),
            Value::List(kind, _) => format!("ArrayOf{}{}", kind[..1].to_uppercase(), &kind[1..]),
            Value::Unset => String::new(),
            Value::Any(value) => value.kind(),
        }
    }
}

/// XML being written. The prefix of the schema-instance namespace is a choice, because a client must not rely on it.
pub(crate) struct Output {
    pub xml: String,
    pub instance_prefix: String,
}

impl Output {
    pub fn new(instance_prefix: &str) -> Output {
        Output { xml: String::new(), instance_prefix: instance_prefix.to_owned() }
    }

    pub fn open(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Output {
        self.xml.push('<');
        self.xml.push_str(name);
        for (attribute, value) in attributes {
            let _ = write!(self.xml, " {attribute}=\"{}\"", escape(value));
        }
        self.xml.push('>');
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Output {
        self.xml.push_str(&escape(text));
        self
    }

    pub fn close(&mut self, name: &str) {
        let _ = write!(self.xml, "</{name}>");
    }
}

fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}
