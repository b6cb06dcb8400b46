//! The chart as the real Helm renders it: valid for Kubernetes, equal to the manifests beside it, and what it
//! configures is what Coco takes.

use std::{ffi::OsStr, fs, process::Command};

use coco_tests::{
    coco::{self, Coco, root, targets},
    process::folder,
    sink::LineSink,
    tools::{self, helm, output_of, script},
};
use serde_json::Value;

/// The oldest and the newest version whose schemas there are for what the chart uses.
const VERSIONS: [&str; 2] = ["1.27", "1.37"];

/// Helm, about to render the chart with these settings.
fn template(settings: &[&str]) -> Command {
    let chart = root().join("deploy/helm/coco");
    let mut command = Command::new(helm());
    command.args(["template", "coco"]).arg(chart).args(["--namespace", "metrics"]);
    for setting in settings {
        command.args([if setting.contains("={") { "--set-json" } else { "--set" }, setting]);
    }
    command
}

/// What Helm makes of the chart, with these settings.
#[track_caller]
fn render(settings: &[&str]) -> String {
    output_of(&mut template(settings))
}

/// What Helm says of settings that it does not take.
#[track_caller]
fn refusal(settings: &[&str]) -> String {
    let refused = tools::run(&mut template(settings));
    assert!(!refused.status.success(), "{settings:?} are taken");
    String::from_utf8_lossy(&refused.stderr).into_owned()
}

/// The objects of these manifests, each of which is valid.
#[track_caller]
fn objects(manifests: &str) -> Vec<Value> {
    let dir = folder();
    let file = dir.path().join("manifests.yaml");
    fs::write(&file, manifests).unwrap();
    let arguments = [file.as_os_str()].into_iter().chain(VERSIONS.map(OsStr::new));
    let output = script("kubernetes.py", &arguments.collect::<Vec<_>>());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{manifests}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The coco.toml of the chart with these settings, in a file.
fn config(settings: &[&str]) -> tempfile::NamedTempFile {
    let objects = objects(&render(settings));
    let text = object(&objects, "ConfigMap", "coco")["data"]["coco.toml"].as_str().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    // The folder above that of the spool must exist.
    let spool = std::env::temp_dir().join("not-started");
    let text = text.replace("/var/lib/coco/spool", spool.to_str().unwrap());
    fs::write(file.path(), text).unwrap();
    file
}

/// `coco check` of it must say that it is good.
#[track_caller]
fn check(config: &tempfile::NamedTempFile) -> String {
    output_of(Command::new(coco::binary()).arg("check").arg(config.path()).env("NO_COLOR", "1"))
}

#[test]
fn the_manifests_are_the_chart_with_its_defaults() {
    let manifests = fs::read_to_string(root().join("deploy/kubernetes/coco.yaml")).unwrap();
    let how =
        "helm template coco deploy/helm/coco --namespace metrics > deploy/kubernetes/coco.yaml";
    assert!(manifests == render(&[]), "render it anew: {how}");
    output_of(Command::new(helm()).args(["lint", "--strict"]).arg(root().join("deploy/helm/coco")));
}

#[test]
fn coco_takes_what_the_chart_configures_and_a_pod_keeps_its_series_wherever_it_runs() {
    let old = config(&[]);
    assert!(check(&old).contains("short"), "{}", check(&old));
    let plan = |new: &tempfile::NamedTempFile, most: &str| {
        let [old, new] = [&old, new].map(|file| file.path().to_str().unwrap().to_owned());
        coco::run(&["plan", &old, &new, "--fail-above", most], b"").status.code()
    };
    // The name that a target is reached by is another one, its id is not.
    assert_eq!(plan(&config(&["tiers.short.namespace=elsewhere"]), "0"), Some(0));
    // A pod more takes a quarter, and no more.
    assert_eq!(plan(&config(&["tiers.short.count=4"]), "26"), Some(0));
    assert_eq!(plan(&config(&["tiers.short.count=4"]), "20"), Some(3));
    let more = [
        "tiers.archive.statefulSet=go-carbon,tiers.archive.service=go-carbon",
        "tiers.archive.count=2,tiers.archive.port=2003",
        "tiers.archive.settings=protocol = \"graphite\"\nreplicas = 2",
        "extraConfig=[filter]\nblacklist = \"^test\"",
        "limits=queue = \"8MiB\"",
    ];
    let more = fs::read_to_string(config(&more).path()).unwrap();
    let lines = [
        "{ id = \"go-carbon-1\", address = \"go-carbon-1.go-carbon.metrics.svc:2003\" },",
        "blacklist = \"^test\"",
        "queue = \"8MiB\"",
    ];
    lines.iter().for_each(|line| assert!(more.contains(line), "{line} is not in {more}"));
}

#[test]
fn variants_of_the_chart_are_valid_and_unknown_settings_are_refused() {
    let transient = objects(&render(&["spool.persistent=false", "replicas=5"]));
    let pods = object(&transient, "StatefulSet", "coco");
    assert!(pods["spec"].get("volumeClaimTemplates").is_none());
    assert_eq!(pods["spec"]["replicas"], 5);
    objects(&render(&[
        "service.type=LoadBalancer",
        "service.annotations.a=b",
        "spool.storageClass=fast",
        "nodeSelector.disk=ssd",
        "tolerations[0].key=metrics",
        "image.tag=3.0.0",
    ]));
    for unknown in ["replica=5", "tiers.short.count=0", "tiers.short.prt=1", "drain.delaySeconds=x"]
    {
        refusal(&[unknown]);
    }
    for section in ["[spool]", "[ spool ]", "[spool.x]", "[ spool . x ]"] {
        let more =
            format!("extraConfig=[fetch]\nbind = \"127.0.0.1:1\"\n {section}\nsize = \"1TiB\"");
        let twice = refusal(&[&more]);
        let why = format!("extraConfig has {section}, which the chart has already");
        assert!(twice.contains(&why), "{twice}");
    }
    objects(&render(&["extraConfig=[spools]\n# [spool]"]));
}

/// The setting of a spool of this size in this volume, text also where it looks like a number.
fn spool(size: &str, volume: &str) -> String {
    format!("spool={{\"size\": {size:?}, \"volume\": {volume:?}}}")
}

#[test]
fn a_spool_that_may_outgrow_its_volume_is_refused_when_it_is_rendered() {
    let set = |volume, size| match size {
        0 => format!("set spool.volume to {volume}Mi or more\n"),
        _ => {
            format!("set spool.volume to {volume}Mi or more, or spool.size to {size}MiB or less\n")
        }
    };
    for (size, volume, least, most) in [
        ("20GiB", "12Gi", 21_558, 11_673),
        // The volume is as large, and its file system needs some of it.
        ("12GiB", "12Gi", 12_935, 11_673),
        ("19457MiB", "20Gi", 20_482, 19_456),
        // Units that are easily taken for each other.
        ("12GiB", "12G", 12_935, 10_871),
        ("1GiB", "12m", 1_078, 0),
        ("1GiB", "1024", 1_078, 0),
    ] {
        let what = format!("spool.size is {size}, and spool.volume {volume}, of which");
        for more in ["spool.persistent=true", "spool.persistent=false"] {
            let said = refusal(&[&spool(size, volume), more]);
            assert!(said.contains(&what) && said.contains(&set(least, most)), "{said}");
        }
        // What it says to set is taken, and is no more than must be.
        render(&[&spool(size, &format!("{least}Mi"))]);
        refusal(&[&spool(size, &format!("{}Mi", least - 1))]);
        if most > 0 {
            render(&[&spool(&format!("{most}MiB"), volume)]);
            refusal(&[&spool(&format!("{}MiB", most + 1), volume)]);
        }
    }
    for (size, volume) in [
        ("19GiB", "20Gi"),
        ("11400MB", "12G"),
        ("10GiB", "12e9"),
        ("9GiB", ".012Ti"),
        ("10GB", "+10.6G"),
        ("1PiB", "1.1Pi"),
        ("1PiB", "1Ei"),
        ("9500KB", "10e6"),
        ("1024KiB", "1104Ki"),
        ("1048576B", "1103765"),
    ] {
        render(&[&spool(size, volume)]);
    }
    for volume in ["", "ten", "-12Gi", "12GiB", "12 Gi", "12gi", "1.2e1Gi", "12K", "1.2.3G"] {
        let said = refusal(&[&spool("10GiB", volume)]);
        let what = format!("spool.volume is {volume:?}, which is no quantity of Kubernetes: give");
        assert!(said.contains(&what), "{said}");
    }
    let good = fs::read_to_string(config(&[]).path()).unwrap();
    let strange = ["", "ten", "10240", "12G", "12Gi", "1.5GiB", "12 GiB", "1TB", "-1GiB"];
    let strange = strange.map(|size| {
        (size, format!("spool.size is {size:?}, which Coco does not understand: give a whole"))
    });
    let extreme = ["0B", "95B", "1048575B", "1023KiB", "2PiB", "1125899906842625B"];
    let extreme =
        extreme.map(|size| (size, format!("size is {size}, and Coco takes 1MiB to 1PiB")));
    for (size, what) in strange.into_iter().chain(extreme) {
        let said = refusal(&[&spool(size, "3Pi")]);
        assert!(said.contains(&what), "{said}");
        // Nor does Coco understand it.
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), good.replace("\"10GiB\"", &format!("{size:?}"))).unwrap();
        let refused = coco::run(&["check", file.path().to_str().unwrap()], b"");
        let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
        assert!(refused.status.code() == Some(78) && said.contains("spool.size"), "{said}");
    }
}

#[test]
fn the_pod_agrees_with_its_configuration_and_its_services() {
    let objects = objects(&render(&["drain.delaySeconds=20"]));
    let config = object(&objects, "ConfigMap", "coco")["data"]["coco.toml"].as_str().unwrap();
    let pods = object(&objects, "StatefulSet", "coco")["spec"].clone();
    let pod = &pods["template"]["spec"];
    let container = &pod["containers"][0];
    assert!(config.contains("drain_delay = \"20s\"\ndrain_timeout = \"30s\""), "{config}");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > 20 + 30 + 10);
    for (key, value) in [("runAsNonRoot", true), ("readOnlyRootFilesystem", true)] {
        let found = [&pod["securityContext"][key], &container["securityContext"][key]];
        assert!(found.iter().any(|&it| it == value), "{key}");
    }
    let ports = container["ports"].as_array().unwrap();
    for port in ports {
        let number = port["containerPort"].as_u64().unwrap();
        assert!(config.contains(&format!("= \"0.0.0.0:{number}\"")), "nothing listens on {number}");
    }
    // Each port of a service is one of the container, by number and protocol.
    assert_eq!(object(&objects, "Service", "coco-routers")["spec"]["clusterIP"], "None");
    assert_eq!(pods["serviceName"], "coco-routers");
    for name in ["coco", "coco-routers"] {
        let service = &object(&objects, "Service", name)["spec"];
        assert_eq!(service["selector"], pods["selector"]["matchLabels"]);
        for port in service["ports"].as_array().unwrap() {
            let is_there = |own: &&Value| {
                own["containerPort"] == port["targetPort"] && own["protocol"] == port["protocol"]
            };
            assert!(ports.iter().any(|own| is_there(&own)), "{port} leads nowhere");
        }
    }
    let budget = &object(&objects, "PodDisruptionBudget", "coco")["spec"];
    assert_eq!(budget["selector"], pods["selector"]);
    // What is probed is what a Coco that is well says 200 to.
    let sink = LineSink::start();
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.a]\nprotocol = \"graphite\"\n{}",
        targets(&[sink.address().to_string()])
    ));
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        assert_eq!(coco.get(path).status, 200, "{probe} {path}");
        assert_eq!(container[probe]["httpGet"]["port"], "api");
    }
    coco.stop();
}
