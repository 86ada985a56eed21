//! Who is let in, over what: TLS as `sslmode` says, passwords in every way the server asks for them.

use tableside::database::postgres::{Options, Postgres};
use tableside::value::Value;

use super::cluster::{Cluster, psql};
use super::{cell, run};

async fn enter(url: &str) -> Result<Value, String> {
    let postgres = Postgres::open(&Options::new(url)).await.map_err(|problem| problem.to_string())?;
    Ok(cell(&postgres, "select ssl from pg_stat_ssl where pid = pg_backend_pid()").await)
}

#[test]
fn tls_is_as_the_mode_says() {
    run(async {
        let cluster = Cluster::start();
        let url = cluster.fresh_database();
        let by_name = url.replace("127.0.0.1", "localhost");
        let root = cluster.root_certificate();
        let root = root.display();
        let (open, hidden) = (Ok(Value::Bool(false)), Ok(Value::Bool(true)));
        assert_eq!(enter(&format!("{url}?sslmode=disable")).await, open);
        assert_eq!(enter(&url).await, hidden);
        assert_eq!(enter(&format!("{url}?sslmode=require")).await, hidden);
        assert_eq!(enter(&format!("{url}?sslmode=verify-full&sslrootcert={root}")).await, hidden);
        assert_eq!(enter(&format!("{by_name}?sslmode=verify-ca&sslrootcert={root}")).await, hidden);
        let wrong_name = enter(&format!("{by_name}?sslmode=verify-full&sslrootcert={root}")).await;
        assert!(wrong_name.as_ref().is_err_and(|message| message.contains("localhost")), "{wrong_name:?}");
        let stranger = cluster.root_certificate().with_file_name("server.crt");
        let stranger = enter(&format!("{url}?sslmode=verify-ca&sslrootcert={}", stranger.display())).await;
        assert!(stranger.is_err(), "{stranger:?}");
        assert!(enter(&format!("{url}?sslmode=verify-full&sslrootcert=/nowhere")).await.is_err());
        // A server without TLS.
        let socket = cluster.root_certificate().parent().unwrap().display().to_string().replace('/', "%2F");
        let (server, port) = url.rsplit_once(':').unwrap();
        let by_socket = format!("{}{socket}:{port}", server.strip_suffix("127.0.0.1").unwrap());
        assert_eq!(enter(&by_socket).await, open);
    });
}

#[test]
fn a_password_is_shown_in_every_way_that_is_asked_for() {
    run(async {
        let cluster = Cluster::start();
        let url = cluster.fresh_database();
        psql(
            &url,
            "create role by_scram login password 'sésame:@/';
             set password_encryption = 'md5'; create role by_md5 login password 'sésame:@/';
             create role by_password login password 'sésame:@/'",
        );
        for role in ["by_scram", "by_md5", "by_password"] {
            let with = |user: &str| url.replace("postgres@", &format!("{user}@"));
            assert!(enter(&with(&format!("{role}:s%C3%A9same%3A%40%2F"))).await.is_ok(), "{role}");
            let wrong = enter(&with(&format!("{role}:wrong"))).await.unwrap_err();
            assert!(!wrong.contains(":wrong") && wrong.contains(role), "{wrong}");
            assert!(enter(&with(role)).await.unwrap_err().contains("password"), "{role}");
        }
    });
}
