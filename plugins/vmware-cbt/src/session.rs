//! One login for all instances of this plugin (`transload_guest::logins` keeps it), and calls that are made under it.
//!
//! vCenter counts sessions (some 2,000 for everybody), so no instance keeps one of its own.

use serde::{Deserialize, Serialize};
use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::{Method, Request};
use transload_guest::logins::{self, Account, Logins};
use transload_guest::ports::{Http, Sessions};
use transload_guest::xml::Element;

use crate::moref::Moref;
use crate::settings::Settings;
use crate::soap::{Call, Refusal, Wire};
use crate::versions;

const LOGIN: &str = "login";

/// A login and what the server told about itself at it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Login {
    pub cookie: String,
    pub version: String,
    pub product: String,
    pub root_folder: Moref,
    pub property_collector: Moref,
    pub view_manager: Moref,
    pub authorization: Option<Authorization>,
    session_manager: Moref,
}

/// Who knows what the account may do, and what the session is called in that question. Not every server has one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Authorization {
    pub manager: Moref,
    pub session: String,
}

/// The cookie is as good as the password while it lives.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("product", &self.product).field("version", &self.version).finish_non_exhaustive()
    }
}

pub type Held = logins::Held<Login>;

/// A vCenter or an ESXi host, as whoever the settings name.
pub struct Vcenter<'a> {
    pub http: &'a dyn Http,
    pub sessions: &'a dyn Sessions,
    pub settings: Settings,
}

impl Vcenter<'_> {
    pub fn wire(&self) -> Wire<'_> {
        Wire { http: self.http, origin: &self.settings.origin, user: &self.settings.username }
    }

    /// One call. When the session has ended meanwhile it is made again under a new one: NotAuthenticated means that nothing was done.
    pub fn call(&self, doing: &str, make: impl Fn(&Login) -> Call) -> Result<Element, Refusal> {
        let answer = self.in_session(|held| self.post(held, doing, &make(&held.login)));
        answer.map_err(|refusal| self.explained(refusal))
    }

    /// Several calls that belong to one session. They are all made again when it ends in between, so they must only read.
    pub fn in_session<T>(&self, work: impl Fn(&Held) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.logins().in_session(work)
    }

    /// The login that all instances use now.
    pub fn held(&self) -> Result<Held, Refusal> {
        self.logins().held()
    }

    fn logins(&self) -> Logins<'_, Self> {
        Logins { account: self, sessions: self.sessions, name: LOGIN }
    }

    pub fn post(&self, held: &Held, doing: &str, call: &Call) -> Result<Element, Refusal> {
        let answer = self.wire().post(&held.login.version, Some(&held.login.cookie), doing, call)?;
        Ok(answer.element)
    }

    fn fresh_login(&self) -> Result<Login, Refusal> {
        let version = self.version()?;
        let instance = Moref::new("ServiceInstance", "ServiceInstance");
        let wire = self.wire();
        let answer = wire.post(&version, None, "introduce itself", &Call::new("RetrieveServiceContent", &instance))?;
        let content = answer.element.child("returnval").cloned().unwrap_or_default();
        let part = |name: &str| {
            let moref = content.child(name).and_then(Moref::read);
            moref.ok_or_else(|| Fault::corrupt(format!("{} offers no {name}.", self.settings.origin)))
        };
        let session_manager = part("sessionManager")?;
        let call =
            Call::new("Login", &session_manager).text("userName", &self.settings.username).secret("password", &self.settings.password);
        // A server may set a cookie at the first request already and keep it at Login.
        let login = wire.post(&version, answer.cookie.as_deref(), "log in", &call)?;
        let cookie = login.cookie.or(answer.cookie);
        let session = login.element.at(&["returnval", "key"]).map(|key| key.text().to_owned());
        let manager = content.child("authorizationManager").and_then(Moref::read);
        Ok(Login {
            cookie: cookie
                .ok_or_else(|| Fault::corrupt(format!("{} accepted the login without a session cookie.", self.settings.origin)))?,
            version,
            product: content.at(&["about", "fullName"]).map(|name| name.text().to_owned()).unwrap_or_else(|| "vSphere".to_owned()),
            root_folder: part("rootFolder")?,
            property_collector: part("propertyCollector")?,
            view_manager: part("viewManager")?,
            authorization: manager.zip(session).map(|(manager, session)| Authorization { manager, session }),
            session_manager,
        })
    }

    fn version(&self) -> Result<String, Refusal> {
        let request = Request::new(Method::Get, format!("{}/sdk/vimServiceVersions.xml", self.settings.origin));
        let response = self.http.send(&request, &[])?;
        match response.status {
            200 => Ok(versions::choose(&response.body)?),
            _ => Err(self.wire().bad_status(&response, "say which versions of its API it speaks").into()),
        }
    }
}

impl Account for Vcenter<'_> {
    type Login = Login;
    type Refusal = Refusal;

    fn log_in(&self) -> Result<Login, Refusal> {
        self.fresh_login()
    }

    /// An orphaned session may stay for hours.
    fn log_out(&self, login: &Login) {
        let _ = self.wire().post(&login.version, Some(&login.cookie), "log out", &Call::new("Logout", &login.session_manager));
    }

    /// A 401 on /folder says the same as NotAuthenticated on /sdk.
    fn has_ended(&self, refusal: &Refusal) -> bool {
        refusal.is("NotAuthenticated") || matches!(refusal, Refusal::Transport(fault) if fault.kind == FaultKind::Auth)
    }

    fn write(login: &Login) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(login).map_err(|error| Fault::corrupt(error.to_string()))
    }

    fn read(value: &[u8]) -> Option<Login> {
        serde_json::from_slice(value).ok()
    }
}

#[cfg(test)]
mod tests;
