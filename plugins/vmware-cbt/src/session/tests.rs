use transload_guest::ports::Entry;

use super::*;
use crate::script::{Scene, http, objects, prop};

fn root_name() -> String {
    objects(&[("Folder", "group-d1", &prop("name", "Datacenters"))])
}

fn read_root(vcenter: &Vcenter<'_>) -> Result<String, Fault> {
    let object = vcenter.read("read the root folder", &Moref::new("Folder", "group-d1"), &["name"])?;
    Ok(object.text("name").unwrap_or_default().to_owned())
}

#[test]
fn one_login_serves_all_instances_and_the_password_is_a_part_of_the_body() {
    let scene = Scene::new().on("RetrievePropertiesEx", &root_name());
    for _ in 0..3 {
        assert_eq!(scene.run(read_root).unwrap(), "Datacenters");
    }
    assert_eq!(scene.count("Login"), 1);
    let login = scene.bodies("Login").remove(0);
    assert!(login.contains("<userName>svc@x</userName><password>[secret password]</password>"), "{login}");
}

#[test]
fn every_post_names_the_negotiated_version() {
    use transload_guest::http::{BodyPart, Response};
    struct Recording<'a>(&'a Scene, std::cell::RefCell<Vec<String>>);
    impl Http for Recording<'_> {
        fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
            let action = request.headers.iter().find(|(name, _)| name == "soapaction").map(|(_, value)| value.clone());
            if request.method == Method::Post {
                self.1.borrow_mut().push(action.unwrap_or_default());
            }
            self.0.send(request, body)
        }
    }
    let scene = Scene::new().on("RetrievePropertiesEx", &root_name());
    let http = Recording(&scene, Default::default());
    read_root(&Vcenter { http: &http, sessions: &scene.memory, settings: scene.settings.clone() }).unwrap();
    let actions = http.1.borrow();
    assert_eq!(actions.len(), 3);
    assert!(actions.iter().all(|action| action == "\"urn:vim25/8.0.2.0\""), "{actions:?}");
}

#[test]
fn an_ended_session_is_renewed_once_and_the_call_made_again() {
    let scene = Scene::new()
        .on("RetrievePropertiesEx", &root_name())
        .fails("RetrievePropertiesEx", "NotAuthenticated")
        .on("RetrievePropertiesEx", &root_name());
    scene.run(read_root).unwrap();
    assert_eq!(scene.run(read_root).unwrap(), "Datacenters");
    assert_eq!(scene.count("Login"), 2);
}

#[test]
fn a_session_that_ends_at_once_again_is_an_auth_fault_and_not_a_loop() {
    let scene = Scene::new().fails("RetrievePropertiesEx", "NotAuthenticated");
    assert_eq!(scene.run(read_root).unwrap_err().kind, FaultKind::Auth);
    assert_eq!(scene.count("Login"), 2);
}

#[test]
fn a_renewal_by_another_instance_is_used_instead_of_a_second_login() {
    let scene = Scene::new().on("RetrievePropertiesEx", &root_name());
    let stale = scene.run(|vcenter| vcenter.held()).unwrap();
    let renewed = scene.run(|vcenter| vcenter.logins().renewed(stale.stored)).unwrap();
    assert_eq!(scene.count("Login"), 2);
    assert_eq!(scene.run(|vcenter| vcenter.logins().renewed(stale.stored)).unwrap(), renewed);
    assert_eq!(scene.count("Login"), 2, "the second one found it renewed already");
}

#[test]
fn losing_the_race_ends_the_own_session_and_takes_the_winners() {
    /// Another instance stores its login between our look and our write.
    struct Rival<'a>(&'a Scene, std::cell::Cell<bool>);
    impl Sessions for Rival<'_> {
        fn get(&self, name: &str) -> Option<Entry> {
            self.0.memory.get(name)
        }
        fn compare_and_set(&self, name: &str, expected: Option<u64>, value: &[u8]) -> Result<u64, Fault> {
            if !self.1.replace(true) {
                let theirs = String::from_utf8(value.to_vec()).unwrap().replace("s1", "theirs");
                self.0.memory.compare_and_set(name, expected, theirs.as_bytes()).unwrap();
            }
            self.0.memory.compare_and_set(name, expected, value)
        }
    }
    let scene = Scene::new();
    let rival = Rival(&scene, Default::default());
    let held = Vcenter { http: &scene, sessions: &rival, settings: scene.settings.clone() }.held().unwrap();
    assert!(held.login.cookie.contains("theirs"));
    assert_eq!(scene.count("Logout"), 1);
    let seen = scene.seen.borrow();
    let logout = seen.iter().find(|seen| seen.verb == "Logout").unwrap();
    assert_eq!(logout.cookie.as_deref(), Some(r#"vmware_soap_session="s1""#));
}

#[test]
fn a_wrong_password_names_the_user_and_is_not_tried_again() {
    let scene = Scene::new().fails("Login", "InvalidLogin");
    let fault = scene.run(read_root).unwrap_err();
    assert_eq!((fault.kind, scene.count("Login")), (FaultKind::Auth, 1));
    assert!(fault.message.contains("svc@x"), "{}", fault.message);
}

#[test]
fn a_vcenter_out_of_sessions_is_throttled() {
    let scene = Scene::new().answer("Login", http(503, &[("retry-after", "5")], "out of sessions"));
    let fault = scene.run(read_root).unwrap_err();
    assert_eq!((fault.kind, fault.retry_after_ms), (FaultKind::Throttled, Some(5000)));
}

#[test]
fn a_session_that_ends_between_pages_starts_the_whole_reading_anew() {
    let page = |token: &str, name: &str| {
        let object = objects(&[("VirtualMachine", name, "")]);
        object.replace("<returnval>", &format!("<returnval>{token}"))
    };
    let scene = Scene::new()
        .on("CreateContainerView", r#"<returnval type="ContainerView">view-1</returnval>"#)
        .on("RetrievePropertiesEx", &page("<token>0</token>", "vm-1"))
        .fails("ContinueRetrievePropertiesEx", "NotAuthenticated")
        .on("ContinueRetrievePropertiesEx", &page("", "vm-2"));
    let all = scene.run(|vcenter| vcenter.read_all("list the VMs", "VirtualMachine", &["name"])).unwrap();
    assert_eq!(all.iter().map(|vm| vm.moref.value.as_str()).collect::<Vec<_>>(), ["vm-1", "vm-2"]);
    assert_eq!((scene.count("CreateContainerView"), scene.count("DestroyView")), (2, 1), "views end with their session");
}

#[test]
fn debug_output_shows_no_cookie() {
    let held = Scene::new().run(|vcenter| vcenter.held()).unwrap();
    assert!(!format!("{held:?}").contains("s1\""), "{held:?}");
}
