//! The operator's commands where something is wrong: what they refuse, and what a person reads then.

use std::path::Path;

use arborgate_testkit::process::Program;
use arborgate_testkit::system::eventually;

use crate::lifecycle::{LIMIT, ended, fails, folder, password_of, program, ready, sign_in, succeeds, trusting, up};
use crate::support::{PROGRAM, run};

/// Whatever fails after the administrator was made, the password was told, once.
#[test]
fn a_first_start_that_fails_does_not_lose_the_password() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let socket = data.join("operator.sock");
        std::fs::create_dir_all(&socket).unwrap();
        let said = fails(up(&data)).await;
        assert!(said.contains("operator.sock"), "{said}");
        assert!(!data.join("state.redb").exists(), "what can not be listened on is found before there is a state");
        std::fs::remove_dir(&socket).unwrap();
        // The demonstration model comes after the administrator.
        let mut broken = up(&data).env("ARBORGATE__INFERENCE__MAX_ARTIFACT", "1").start().unwrap();
        assert_eq!(ended(&mut broken).await.code(), Some(1));
        let told = broken.stdout();
        let password = password_of(&told).unwrap_or_else(|| panic!("{told}{}", broken.stderr()));
        assert!(!told.contains("arborgate is ready"));
        let mut process = up(&data).start().unwrap();
        let url = ready(&mut process).await;
        assert_eq!(password_of(&process.stdout()), None);
        sign_in(&trusting(&data).build().unwrap(), &url, &password).await.unwrap();
    });
}

#[test]
fn a_data_folder_has_a_path_of_any_length() {
    run(async {
        let folder = folder();
        let data = folder.path().join("x".repeat(100)).join("y".repeat(100));
        let mut process = up(&data).start().unwrap();
        ready(&mut process).await;
        let listed = succeeds(program().args(["users", "list", "--data-dir"]).arg(&data)).await;
        assert!(listed.contains("admin"), "{listed}");
        assert!(process.until_stopped(LIMIT).await.unwrap().success());
        assert!(!data.join("operator.sock").exists());
        let said = fails(program().args(["users", "list", "--data-dir"]).arg(&data)).await;
        assert!(said.contains("is it running?"), "{said}");
    });
}

#[test]
fn a_state_without_its_master_key_waits_for_it() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let mut process = up(&data).start().unwrap();
        ready(&mut process).await;
        assert!(process.until_stopped(LIMIT).await.unwrap().success());
        let (key, aside) = (data.join("master.key"), folder.path().join("aside"));
        std::fs::rename(&key, &aside).unwrap();
        let said = fails(up(&data)).await;
        assert!(said.contains("master.key is missing") && said.contains("put that key back"), "{said}");
        assert!(!key.exists(), "another key would be in the way of the right one");
        std::fs::rename(&aside, &key).unwrap();
        let mut process = up(&data).start().unwrap();
        ready(&mut process).await;
    });
}

#[test]
fn a_server_is_talked_to_in_secret_or_not_at_all() {
    run(async {
        let asked = |server: &str| program().args(["models", "list", "--api-key", "secret", "--server", server]);
        let said = fails(asked("http://models.example")).await;
        assert!(said.contains("in the open") && !said.contains("secret"), "{said}");
        let said = fails(asked("localhost:8443")).await;
        assert!(said.contains("give https://localhost:8443"), "{said}");
    });
}

#[test]
fn certificates_are_made_once_and_other_names_are_refused() {
    run(async {
        let folder = folder();
        let dir = folder.path().join("certs");
        let certs = |names: &[&str]| {
            let program = Program::new(PROGRAM).arg("certs").arg(&dir);
            names.iter().fold(program, |program, name| program.args(["--name", name]))
        };
        let made = succeeds(certs(&["nats", "edge"])).await;
        assert!(made.lines().count() == 10 && made.lines().all(|line| line.contains(" made ")), "{made}");
        let content = || {
            let mut all: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
            all.sort();
            all.into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
        };
        let before = content();
        assert_eq!(before.len(), 2 + 2 * 2 + 6 * 2 + 1);
        for names in [&["nats", "edge"][..], &["nats"], &[]] {
            let kept = succeeds(certs(names)).await;
            assert!(kept.lines().all(|line| line.contains(" kept ")), "{kept}");
        }
        let said = fails(certs(&["other"])).await;
        assert!(said.contains("ca.pem") && said.contains("other") && said.contains("nats, edge"), "{said}");
        assert!(content() == before);
    });
}

#[test]
fn a_password_is_reset_here_and_nowhere_else() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let mut process = up(&data).start().unwrap();
        ready(&mut process).await;
        let password = password_of(&process.stdout()).unwrap();
        assert!(process.until_stopped(LIMIT).await.unwrap().success());
        let reset = |name: &str| program().args(["users", "reset-password", name, "--data-dir"]).arg(&data);
        let said = fails(reset("admin").env("ARBORGATE_SERVER", "https://models.example")).await;
        assert!(said.contains("offline") && said.contains("ARBORGATE_SERVER"), "{said}");
        let said = fails(reset("nosuch")).await;
        assert!(said.ends_with("can not be reset: there is no user nosuch\n"), "{said}");
        // An empty folder stays one.
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let said = fails(program().args(["users", "reset-password", "admin", "--data-dir"]).arg(&empty)).await;
        assert!(said.contains("there is no data folder") && empty.read_dir().unwrap().next().is_none(), "{said}");
        let mut process = up(&data).start().unwrap();
        let url = ready(&mut process).await;
        sign_in(&trusting(&data).build().unwrap(), &url, &password).await.unwrap();
    });
}

#[test]
fn a_password_of_the_environment_that_is_too_short_is_named() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let said = fails(up(&data).env("ARBORGATE_ADMIN_PASSWORD", "short")).await;
        assert!(said.contains("ARBORGATE_ADMIN_PASSWORD") && said.contains("12 to 128 characters"), "{said}");
        let mut process = up(&data).env("ARBORGATE_ADMIN_PASSWORD", "long enough for all").start().unwrap();
        ready(&mut process).await;
    });
}

#[test]
fn what_is_given_wrong_is_told_once() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let mut process = up(&data).start().unwrap();
        ready(&mut process).await;
        let command = |args: &[&str]| program().args(args.iter().copied()).arg("--data-dir").arg(&data);
        let mut wrong = command(&["keys", "create", "x", "--role", "nosuch"]).start().unwrap();
        assert_eq!(ended(&mut wrong).await.code(), Some(2));
        let said = wrong.stderr();
        assert!(said.contains("admin, predictor, user"), "{said}");
        let said = fails(command(&["keys", "create", "", "--role", "user"])).await;
        assert_eq!(said.matches("/name").count(), 1, "{said}");
    });
}

/// The bytes of a file that is no backup reach neither the terminal nor the server's log.
#[test]
fn what_is_no_backup_is_not_shown() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let mut process = up(&data).start().unwrap();
        ready(&mut process).await;
        let file = folder.path().join("no.tar");
        let evil = b"\x1b[2J\x1b]0;evil\x07".repeat(200);
        std::fs::write(&file, evil).unwrap();
        let command = |command: &str, file: &Path| program().arg(command).arg(file).arg("--data-dir").arg(&data);
        let said = fails(command("restore", &file)).await;
        assert!(said.contains("not a whole backup"), "{said}");
        assert!(!said.contains("evil") && !said.trim_end().contains(char::is_control), "{said:?}");
        assert!(!process.stderr().contains("restored"), "{}", process.stderr());
        let good = folder.path().join("good.part");
        succeeds(command("backup", &good)).await;
        let said = fails(command("backup", &good)).await;
        assert!(said.contains("good.part is there already"), "{said}");
        // What a killed one left is in nobody's way, and nothing else is left.
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name.to_string_lossy().contains("backup")).count(), 0);
        succeeds(command("restore", &good)).await;
        let told = async || Ok(process.stderr().contains("a backup was restored"));
        eventually("the restore is told", told).await.unwrap();
    });
}
