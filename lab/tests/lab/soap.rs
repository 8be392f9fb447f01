//! The SOAP side is strict and loud.

use crate::support::{MIB, between, envelope, start};

#[tokio::test]
async fn versions_are_listed_and_an_unknown_or_missing_one_is_refused() {
    let fixture = start().await;
    let url = format!("{}/sdk/vimServiceVersions.xml", fixture.lab.vcenter().url());
    let versions = fixture.client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(versions.contains("<name>urn:vim25</name><version>8.0.2.0</version>"), "{versions}");

    let call = envelope(
        r#"<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></RetrieveServiceContent>"#,
    );
    assert!(
        fixture
            .send(&call, Some("\"urn:vim25/8.0.2.0\""))
            .await
            .unwrap()
            .contains("<sessionManager type=\"SessionManager\">SessionManager</sessionManager>")
    );
    for (action, expected) in [(None, "missing"), (Some("\"urn:vim25/9.9\""), "Unsupported version"), (Some("urn:vim25/8.0.2.0"), "quotes")]
    {
        let refusal = fixture.send(&call, action).await.unwrap_err();
        assert!(refusal.message.contains(expected), "{refusal:?}");
    }
}

#[tokio::test]
async fn missing_swapped_and_unknown_elements_are_refused_by_name() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", 8 * MIB).await;
    for (arguments, expected) in [
        ("<name>a</name><quiesce>false</quiesce>", "expected &lt;memory&gt;"),
        ("<name>a</name><quiesce>false</quiesce><memory>false</memory>", "expected &lt;memory&gt; here, found &lt;quiesce&gt;"),
        ("<name>a</name><memory>false</memory><quiesce>false</quiesce><extra/>", "&lt;extra&gt;"),
        ("<name>a</name><memory>maybe</memory><quiesce>false</quiesce>", "no boolean"),
    ] {
        let refusal = fixture.call("CreateSnapshot_Task", "VirtualMachine", &vm, arguments).await.unwrap_err();
        assert_eq!(refusal.kind, "InvalidRequest");
        assert!(refusal.message.contains(expected), "{refusal:?}");
    }
    assert!(fixture.lab.vcenter().snapshots().is_empty());
}

#[tokio::test]
async fn foreign_namespaces_and_broken_envelopes_are_refused() {
    let fixture = start().await;
    let action = Some("\"urn:vim25/8.0.2.0\"");
    for body in [
        "not xml".to_owned(),
        "<a/>".to_owned(),
        envelope("<CurrentTime><_this type=\"ServiceInstance\">ServiceInstance</_this></CurrentTime>"),
        envelope("<v:CurrentTime xmlns:v=\"urn:vim25\"><_this type=\"ServiceInstance\">ServiceInstance</_this></v:CurrentTime>"),
        envelope("<v:CurrentTime xmlns:v=\"urn:vim25\"><v:_this>ServiceInstance</v:_this></v:CurrentTime>"),
        envelope("<v:CurrentTime xmlns:v=\"urn:vim25\"><v:_this type=\"ServiceInstance\">ServiceInstance</v:_this>")
            .replace("</e:Envelope>", ""),
    ] {
        let refusal = fixture.send(&body, action).await.unwrap_err();
        assert_eq!(refusal.kind, "InvalidRequest", "{body}");
    }
    let good = envelope("<v:CurrentTime xmlns:v=\"urn:vim25\"><v:_this type=\"ServiceInstance\">ServiceInstance</v:_this></v:CurrentTime>");
    fixture.send(&good, action).await.unwrap();
}

#[tokio::test]
async fn sessions_are_needed_end_and_do_not_log_in_twice() {
    let fixture = start().await;
    assert_eq!(fixture.log_in().await.unwrap_err().kind, "InvalidLogin");

    let time = || fixture.call("CurrentTime", "ServiceInstance", "ServiceInstance", "");
    time().await.unwrap();
    fixture.lab.vcenter().expire_sessions();
    assert_eq!(time().await.unwrap_err().kind, "NotAuthenticated");

    fixture.log_in().await.unwrap();
    fixture.lab.vcenter().set_knobs(|knobs| knobs.session_calls_max = Some(2));
    time().await.unwrap();
    time().await.unwrap();
    assert_eq!(time().await.unwrap_err().kind, "NotAuthenticated");

    fixture.lab.vcenter().set_knobs(|knobs| {
        knobs.session_calls_max = None;
        knobs.session_idle_milliseconds = 50;
    });
    fixture.log_in().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(120)).await;
    assert_eq!(time().await.unwrap_err().kind, "NotAuthenticated");

    fixture.lab.vcenter().set_knobs(|knobs| knobs.session_idle_milliseconds = 60_000);
    fixture.log_in().await.unwrap();
    fixture.call("Logout", "SessionManager", "SessionManager", "").await.unwrap();
    assert_eq!(time().await.unwrap_err().kind, "NotAuthenticated");
    assert_eq!(fixture.lab.vcenter().counters().sessions_live, 0);
}

#[tokio::test]
async fn a_wrong_password_is_an_invalid_login() {
    let fixture = start().await;
    *fixture.cookie.lock().unwrap() = None;
    let arguments = "<userName>administrator@vsphere.local</userName><password>wrong</password>";
    let refusal = fixture.call("Login", "SessionManager", "SessionManager", arguments).await.unwrap_err();
    assert_eq!(refusal.kind, "InvalidLogin");
    assert_eq!(fixture.lab.vcenter().counters().logins_refused, 1);
}

#[tokio::test]
async fn unknown_methods_properties_and_objects_are_named() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", 8 * MIB).await;
    let method = fixture.call("CloneVM_Task", "VirtualMachine", &vm, "").await.unwrap_err();
    assert!(method.kind == "NotImplemented" && method.message.contains("CloneVM_Task"), "{method:?}");
    let property = fixture.property("VirtualMachine", &vm, "config.hardware.colour").await.unwrap_err();
    assert!(property.kind == "InvalidProperty" && property.message.contains("colour"), "{property:?}");
    let object = fixture.property("VirtualMachine", "vm-1", "name").await.unwrap_err();
    assert_eq!(object.kind, "ManagedObjectNotFound");
}

#[tokio::test]
async fn pages_and_their_tokens_cover_every_object_once() {
    let fixture = start().await;
    for number in 0..5 {
        fixture.add_vm(&format!("vm{number}"), 8 * MIB).await;
    }
    let view = fixture
        .call(
            "CreateContainerView",
            "ViewManager",
            "ViewManager",
            "<container type=\"Folder\">group-d1</container><type>VirtualMachine</type><recursive>true</recursive>",
        )
        .await
        .unwrap();
    let view = between(&view, "<returnval type=\"ContainerView\">", "<").unwrap();
    let arguments = format!(
        "<specSet><propSet><type>VirtualMachine</type><pathSet>name</pathSet></propSet><objectSet><obj type=\"ContainerView\">{view}</obj><skip>true</skip>\
         <selectSet xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:type=\"TraversalSpec\"><name>v</name><type>ContainerView</type><path>view</path><skip>false</skip></selectSet>\
         </objectSet></specSet><options><maxObjects>2</maxObjects></options>"
    );
    let mut reply = fixture.call("RetrievePropertiesEx", "PropertyCollector", "propertyCollector", &arguments).await.unwrap();
    let mut names = Vec::new();
    let mut last_token = String::new();
    loop {
        names.extend(reply.split("<objects>").skip(1).map(|object| between(object, "xsi:type=\"xsd:string\">", "<").unwrap().to_owned()));
        let Some(token) = between(&reply, "<token>", "<") else { break };
        last_token = format!("<token>{token}</token>");
        reply = fixture.call("ContinueRetrievePropertiesEx", "PropertyCollector", "propertyCollector", &last_token).await.unwrap();
    }
    assert_eq!(names, ["vm0", "vm1", "vm2", "vm3", "vm4"]);
    let used = fixture.call("ContinueRetrievePropertiesEx", "PropertyCollector", "propertyCollector", &last_token).await;
    assert_eq!(used.unwrap_err().kind, "InvalidArgument");
}

#[tokio::test]
async fn the_folders_above_a_datacenter_can_be_walked_upwards() {
    let fixture = start().await;
    assert_eq!(fixture.property("Datacenter", "datacenter-3", "name").await.unwrap(), "Lab DC #1");
    assert_eq!(fixture.property("Datacenter", "datacenter-3", "parent").await.unwrap(), "group-d2");
    assert_eq!(fixture.property("Folder", "group-d2", "name").await.unwrap(), "Site A");
    assert_eq!(fixture.lab.vcenter().datacenter_path(), "Site A/Lab DC #1");
}

#[tokio::test]
async fn denied_privileges_are_reported_and_enforced() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", 8 * MIB).await;
    let denied = "VirtualMachine.State.CreateSnapshot";
    fixture.lab.vcenter().set_knobs(|knobs| knobs.denied_privileges = vec![denied.into()]);
    let session = fixture.property("SessionManager", "SessionManager", "currentSession.key").await.unwrap();
    let arguments = format!(
        "<entity type=\"VirtualMachine\">{vm}</entity><sessionId>{session}</sessionId><privId>System.View</privId><privId>{denied}</privId>"
    );
    let reply = fixture.call("HasPrivilegeOnEntities", "AuthorizationManager", "AuthorizationManager", &arguments).await.unwrap();
    assert!(reply.contains(&format!("<privId>{denied}</privId><isGranted>false</isGranted>")), "{reply}");
    assert!(reply.contains("<privId>System.View</privId><isGranted>true</isGranted>"), "{reply}");
    let refusal = fixture.create_snapshot(&vm, "a").await.unwrap_err();
    assert_eq!(refusal.kind, "NoPermission");
}

#[tokio::test]
async fn slow_and_failing_tasks_are_seen_by_polling() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", 8 * MIB).await;
    fixture.lab.vcenter().set_knobs(|knobs| {
        knobs.task_polls = 3;
        knobs.task_faults = vec![lab::vcenter::TaskFault { method: "CreateSnapshot_Task".into(), fault: "FilesystemQuiesceFault".into() }];
    });
    let refusal = fixture.create_snapshot(&vm, "a").await.unwrap_err();
    assert_eq!(refusal.kind, "FilesystemQuiesceFault");
    let before = fixture.lab.vcenter().counters().calls["RetrievePropertiesEx"];
    let snapshot = fixture.create_snapshot(&vm, "a").await.unwrap();
    let polls = fixture.lab.vcenter().counters().calls["RetrievePropertiesEx"] - before;
    assert!(polls >= 4, "{polls} polls");

    fixture.lab.vcenter().set_knobs(|knobs| knobs.task_milliseconds = 300);
    let arguments = "<removeChildren>false</removeChildren>";
    fixture.call("RemoveSnapshot_Task", "VirtualMachineSnapshot", &snapshot, arguments).await.unwrap();
    let refusal = fixture.call("PowerOffVM_Task", "VirtualMachine", &vm, "").await.unwrap_err();
    assert_eq!(refusal.kind, "TaskInProgress");
}

#[tokio::test]
async fn the_prefix_of_type_attributes_is_a_choice() {
    let fixture = start().await;
    fixture.lab.vcenter().set_knobs(|knobs| knobs.instance_prefix = "XMLSchema-instance".into());
    let vm = fixture.add_vm("web", 8 * MIB).await;
    let devices = fixture.property("VirtualMachine", &vm, "config.hardware.device").await.unwrap();
    assert!(devices.contains("<VirtualDevice XMLSchema-instance:type=\"VirtualDisk\">"), "{devices}");
}

#[tokio::test]
async fn a_guest_shuts_down_and_power_states_are_checked() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", 8 * MIB).await;
    fixture.lab.vcenter().set_knobs(|knobs| knobs.guest_shutdown_milliseconds = 50);
    fixture.call("ShutdownGuest", "VirtualMachine", &vm, "").await.unwrap();
    assert_eq!(fixture.property("VirtualMachine", &vm, "runtime.powerState").await.unwrap(), "poweredOn");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(fixture.property("VirtualMachine", &vm, "runtime.powerState").await.unwrap(), "poweredOff");
    let refusal = fixture.task("PowerOffVM_Task", "VirtualMachine", &vm, "").await.unwrap_err();
    assert_eq!(refusal.kind, "InvalidPowerState");
    let write = fixture.lab.vcenter().write(&vm, 2000, 0, vec![1; 512]).await;
    assert!(write.unwrap_err().to_string().contains("is off"));
}

#[tokio::test]
async fn updates_tell_everything_first_and_then_only_what_changed() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", 8 * MIB).await;
    let collector = async |method: &str, arguments: &str| fixture.call(method, "PropertyCollector", "propertyCollector", arguments).await;
    let spec = format!(
        "<spec><propSet><type>VirtualMachine</type><pathSet>name</pathSet><pathSet>runtime.powerState</pathSet></propSet>\
         <objectSet><obj type=\"VirtualMachine\">{vm}</obj></objectSet></spec><partialUpdates>false</partialUpdates>"
    );
    collector("CreateFilter", &spec).await.unwrap();
    let first = collector("WaitForUpdatesEx", "").await.unwrap();
    assert!(first.contains("<kind>enter</kind>") && first.contains("poweredOn") && first.contains(">web<"), "{first}");
    let version = format!("<version>{}</version>", between(&first, "<version>", "<").unwrap());
    let nothing = collector("WaitForUpdatesEx", &format!("{version}<options><maxWaitSeconds>0</maxWaitSeconds></options>")).await.unwrap();
    assert!(!nothing.contains("returnval"), "{nothing}");
    fixture.lab.vcenter().power_off(&vm).await.unwrap();
    let second = collector("WaitForUpdatesEx", &version).await.unwrap();
    assert!(second.contains("<kind>modify</kind>") && second.contains("poweredOff") && !second.contains(">web<"), "{second}");
    assert_eq!(collector("WaitForUpdatesEx", &version).await.unwrap_err().kind, "InvalidCollectorVersion");
}
