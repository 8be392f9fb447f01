//! The singletons: service instance, session manager and the others that a client starts from.

use super::super::inventory::{State, fixed};
use super::super::session::Session;
use crate::soap::{Moref, Object, Value};

pub(super) fn object(state: &State, session: &str, moref: &Moref) -> Option<Object> {
    match (moref.kind.as_str(), moref.id.as_str()) {
        ("ServiceInstance", "ServiceInstance") => Some(
            Object::new("ServiceInstance")
                .with("content", content())
                .with("serverClock", jiff::Timestamp::now())
                .with("capability", capability()),
        ),
        ("SessionManager", "SessionManager") => Some(session_manager(state, session)),
        ("PropertyCollector", "propertyCollector") => Some(Object::new("PropertyCollector").with("filter", Value::morefs([]))),
        ("ViewManager", "ViewManager") => Some(Object::new("ViewManager").with("viewList", Value::morefs([]))),
        ("AuthorizationManager", "AuthorizationManager") => Some(Object::new("AuthorizationManager")),
        _ => None,
    }
}

/// What RetrieveServiceContent answers. Managers that the lab does not have are not listed.
pub(in super::super) fn content() -> Object {
    let about = Object::new("AboutInfo")
        .with("name", "VMware vCenter Server")
        .with("fullName", "VMware vCenter Server 8.0.2 build-22385739")
        .with("vendor", "VMware, Inc.")
        .with("version", "8.0.2")
        .with("build", "22385739")
        .with("localeVersion", "INTL")
        .with("localeBuild", "000")
        .with("osType", "linux-x64")
        .with("productLineId", "vpx")
        .with("apiType", "VirtualCenter")
        .with("apiVersion", "8.0.2.0")
        .with("instanceUuid", "6b1f5a52-0b5e-4c3b-9d53-7f0a1ab50001")
        .with("licenseProductName", "VMware VirtualCenter Server")
        .with("licenseProductVersion", "8.0");
    Object::new("ServiceContent")
        .with("rootFolder", Moref::new("Folder", fixed::ROOT))
        .with("propertyCollector", Moref::new("PropertyCollector", "propertyCollector"))
        .with("viewManager", Moref::new("ViewManager", "ViewManager"))
        .with("about", about)
        .with("sessionManager", Moref::new("SessionManager", "SessionManager"))
        .with("authorizationManager", Moref::new("AuthorizationManager", "AuthorizationManager"))
}

fn capability() -> Object {
    Object::new("Capability").with("provisioningSupported", true).with("multiHostSupported", true).with("userShellAccessSupported", false)
}

fn session_manager(state: &State, session: &str) -> Object {
    let current = state.sessions.by_key(session).map(|session| user_session(&session));
    Object::new("SessionManager").with("currentSession", current).with("defaultLocale", "en")
}

pub(in super::super) fn user_session(session: &Session) -> Object {
    Object::new("UserSession")
        .with("key", &session.key)
        .with("userName", &session.user)
        .with("fullName", &session.user)
        .with("loginTime", session.login_time)
        .with("lastActiveTime", jiff::Timestamp::now())
        .with("locale", "en")
        .with("messageLocale", "en")
}
