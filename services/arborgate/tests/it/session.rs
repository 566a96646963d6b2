//! A person who signs in at a server, and commands that then need no API key.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;

use arborgate_testkit::system::{ADMIN_PASSWORD, System};

use crate::support::on_both_buses;

on_both_buses!(a_session_is_kept_until_it_is_forgotten);

async fn a_session_is_kept_until_it_is_forgotten(system: &System) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("state/session.json");
    let env = [("ARBORGATE_SESSION", place.to_str().unwrap())];
    let (server, ca) = (system.edge(0).to_owned(), system.ca());
    let run = async |input: &str, args: &[&str], with_ca: bool| {
        let mut args: Vec<OsString> = args.iter().map(Into::into).collect();
        if with_ca {
            args.extend(["--ca".into(), ca.clone().into()]);
        }
        system.command(input, &args, &env).await.unwrap()
    };
    let sign_in = ["sign-in", "admin", "--server", &server];
    let wrong = run("not the password\n", &sign_in, true).await;
    assert!(!wrong.success && !place.exists(), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("not the password"));
    let list = ["models", "list", "--server", &server];
    assert!(!run("", &list, true).await.success);
    let signed_in = run(&format!("{ADMIN_PASSWORD}\n"), &sign_in, true).await;
    assert!(signed_in.success && signed_in.stdout.contains("signed in at"), "{}", signed_in.stderr);
    assert!(!signed_in.stdout.contains(ADMIN_PASSWORD));
    assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
    // The CA is remembered as well.
    let listed = run("", &list, false).await;
    assert!(listed.success && listed.stdout.contains("iris"), "{}", listed.stderr);
    // At no other server.
    let other = run("", &["models", "list", "--server", "https://127.0.0.1:1"], true).await;
    assert!(!other.success && other.stderr.contains("127.0.0.1:1"), "{}", other.stderr);
    // What has ended is said to have.
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&place).unwrap()).unwrap();
    kept["ends_at"] = 1.into();
    std::fs::write(&place, kept.to_string()).unwrap();
    let ended = run("", &list, false).await;
    assert!(!ended.success && ended.stderr.contains("has ended"), "{}", ended.stderr);
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(run("", &list, false).await.stderr.contains("chmod 600"));
    assert!(run("", &["sign-out"], false).await.success && !place.exists());
    assert!(run("", &["sign-out"], false).await.stdout.contains("nobody"));
}
