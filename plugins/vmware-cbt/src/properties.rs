//! Reading properties: of one object, of several, or of all of a kind below the root.

use std::collections::BTreeMap;

use transload_guest::fault::Fault;
use transload_guest::paging::follow;
use transload_guest::xml::Element;

use crate::moref::Moref;
use crate::session::{Held, Vcenter};
use crate::soap::{Call, Refusal, SoapFault};

/// Objects per page. vCenter may send fewer, and says so with a token either way.
const PAGE: u64 = 500;

/// What was read of one object. A property that is unset is not there.
#[derive(Debug, Clone)]
pub struct Object {
    pub moref: Moref,
    values: BTreeMap<String, Element>,
}

impl Object {
    pub fn element(&self, path: &str) -> Option<&Element> {
        self.values.get(path)
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.element(path).map(Element::text)
    }

    pub fn flag(&self, path: &str) -> Option<bool> {
        self.text(path).map(|text| matches!(text, "true" | "1"))
    }

    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    pub fn moref_at(&self, path: &str) -> Option<Moref> {
        Moref::read(self.element(path)?)
    }

    /// The items of an array property, whatever their element is called.
    pub fn items(&self, path: &str) -> &[Element] {
        self.element(path).map(Element::children).unwrap_or_default()
    }

    pub fn morefs(&self, path: &str) -> Vec<Moref> {
        self.items(path).iter().filter_map(Moref::read).collect()
    }
}

impl Vcenter<'_> {
    /// One object. A right that is lacking is a fault, for a finding must not be missed because it could not be seen.
    pub fn read(&self, doing: &str, moref: &Moref, paths: &[&str]) -> Result<Object, Refusal> {
        let objects = self.in_session(|held| {
            self.retrieve(held, doing, &moref.kind, paths, Lenient::No, |call| explicit(call, std::slice::from_ref(moref)))
        });
        let objects = objects.map_err(|refusal| self.explained(refusal))?;
        let gone = || Fault::not_found(format!("vCenter could not {doing}: {} is not there.", moref.value));
        objects.into_iter().next().ok_or_else(|| gone().into())
    }

    /// Those of `morefs` that still exist, with what of them may be seen.
    pub fn read_many(&self, doing: &str, kind: &str, morefs: &[Moref], paths: &[&str]) -> Result<Vec<Object>, Refusal> {
        if morefs.is_empty() {
            return Ok(Vec::new());
        }
        self.in_session(|held| self.retrieve(held, doing, kind, paths, Lenient::Yes, |call| explicit(call, morefs)))
    }

    /// All objects of a kind below the root folder.
    pub fn read_all(&self, doing: &str, kind: &str, paths: &[&str]) -> Result<Vec<Object>, Refusal> {
        self.in_session(|held| {
            let create = Call::new("CreateContainerView", &held.login.view_manager)
                .object("container", &held.login.root_folder)
                .text("type", kind)
                .flag("recursive", true);
            let reply = self.post(held, doing, &create)?;
            let view =
                reply.child("returnval").and_then(Moref::read).ok_or_else(|| Fault::corrupt("vCenter made a view without a name."))?;
            let objects = self.retrieve(held, doing, kind, paths, Lenient::Yes, |call| through_view(call, &view));
            if objects.as_ref().is_err_and(|refusal| refusal.is("NotAuthenticated")) {
                return objects;
            }
            // Views live as long as the session; ours lasts for days.
            let destroyed = self.post(held, doing, &Call::new("DestroyView", &view));
            objects.and_then(|objects| destroyed.map(|_| objects))
        })
    }

    fn retrieve(
        &self,
        held: &Held,
        doing: &str,
        kind: &str,
        paths: &[&str],
        lenient: Lenient,
        objects: impl Fn(Call) -> Call,
    ) -> Result<Vec<Object>, Refusal> {
        let collector = &held.login.property_collector;
        let call = Call::new("RetrievePropertiesEx", collector)
            .within("specSet", |call| {
                let call = call.within("propSet", |call| {
                    paths.iter().fold(call.text("type", kind).flag("all", false), |call, path| call.text("pathSet", path))
                });
                let call = objects(call);
                if lenient == Lenient::Yes { call.flag("reportMissingObjectsInResults", true) } else { call }
            })
            .within("options", |call| call.number("maxObjects", PAGE));
        follow(kind, |token| {
            let reply = match token {
                None => self.post(held, doing, &call)?,
                Some(token) => self.post(held, doing, &Call::new("ContinueRetrievePropertiesEx", collector).text("token", token))?,
            };
            // No result at all is what an empty set looks like.
            let Some(page) = reply.child("returnval") else { return Ok((Vec::new(), None)) };
            let found = page.children_named("objects").map(|item| self.object(item, doing, lenient)).collect::<Result<_, _>>()?;
            Ok((found, page.text_of("token").filter(|token| !token.is_empty()).map(str::to_owned)))
        })
    }

    fn object(&self, item: &Element, doing: &str, lenient: Lenient) -> Result<Object, Refusal> {
        let moref = item.child("obj").and_then(Moref::read).ok_or_else(|| Fault::corrupt("vCenter sent an object without a name."))?;
        if lenient == Lenient::No {
            let hidden = item.children_named("missingSet").filter_map(|missing| missing.child("fault"));
            let faults = hidden.map(|fault| SoapFault::of_task(fault, doing, &self.settings.username));
            if let Some(fault) = faults.into_iter().find(|fault| matches!(fault.kind.as_str(), "NoPermission" | "NotAuthenticated")) {
                return Err(Refusal::Soap(Box::new(fault)));
            }
        }
        let pairs = item.children_named("propSet").filter_map(|set| Some((set.text_of("name")?.to_owned(), set.child("val")?.clone())));
        Ok(Object { moref, values: pairs.collect() })
    }
}

/// Whether objects and properties that cannot be seen are left out or are a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lenient {
    Yes,
    No,
}

fn explicit(call: Call, morefs: &[Moref]) -> Call {
    morefs.iter().fold(call, |call, moref| call.within("objectSet", |call| call.object("obj", moref).flag("skip", false)))
}

fn through_view(call: Call, view: &Moref) -> Call {
    call.within("objectSet", |call| {
        call.object("obj", view).flag("skip", true).within_typed("selectSet", "TraversalSpec", |call| {
            call.text("name", "view").text("type", "ContainerView").text("path", "view").flag("skip", false)
        })
    })
}
