//! Which device is taken, and what an opened one says of itself.

use mobileone::{Device, DeviceInfo, DeviceKind, Error};

/// `name (backend, kind)` of what stands in [`rows`].
fn info(name: &str, backend: &'static str, kind: DeviceKind) -> DeviceInfo {
    let driver = if kind == DeviceKind::Software { "Mesa 22.3" } else { "Maker's 1.0" };
    DeviceInfo { name: name.into(), backend, kind, driver: driver.into(), features: Vec::new() }
}

#[test]
fn the_best_answer_is_chosen() {
    use DeviceKind::{Cpu, Discrete, Integrated, Other, Software, Virtual};
    let cpu = || info("CPU, 2 threads", "cpu", Cpu);
    let soft = |backend| info(&format!("llvmpipe {backend}"), backend, Software);
    let mac = vec![info("M1", "metal", Integrated), info("Molten", "vulkan", Integrated), cpu()];
    let laptop = vec![
        cpu(),
        info("Basic", "dx12", Software),
        info("Arc 12", "dx12", Integrated),
        info("RTX gl", "gl", Discrete),
        info("RTX 12", "dx12", Discrete),
        info("Arc vk", "vulkan", Integrated),
        info("RTX vk", "vulkan", Discrete),
    ];
    let kinds = vec![
        info("other", "vulkan", Other),
        info("virtual", "vulkan", Virtual),
        info("shared", "vulkan", Integrated),
    ];
    let bare = vec![soft("gl"), cpu(), soft("vulkan")];
    let old = vec![soft("vulkan"), info("Old gl", "gl", Discrete), cpu()];
    let two = vec![info("Big gl", "gl", Discrete), info("Small vk", "vulkan", Integrated)];
    let page = vec![soft("webgpu")];
    // What there is, what is asked for, and the names from the best to the last.
    let rows: &[(&[DeviceInfo], &str, &[&str])] = &[
        (&laptop, "auto", &["RTX vk", "RTX 12", "Arc vk", "Arc 12", "RTX gl", "CPU, 2 threads"]),
        (&laptop, " GPU ", &["RTX vk", "RTX 12", "Arc vk", "Arc 12", "RTX gl"]),
        (&laptop, "software", &["Basic"]),
        (&laptop, "vulkan", &["RTX vk", "Arc vk"]),
        (&laptop, "DX12", &["RTX 12", "Arc 12", "Basic"]),
        (&laptop, "gl", &["RTX gl"]),
        (&laptop, "metal", &[]),
        (&laptop, "cpu", &["CPU, 2 threads"]),
        (&laptop, "aRC", &["Arc vk", "Arc 12"]),
        (&laptop, "maker's", &["RTX vk", "RTX 12", "Arc vk", "Arc 12", "RTX gl"]),
        (&laptop, "threads", &[]),
        (&laptop, "", &[]),
        (&kinds, "auto", &["shared", "virtual", "other"]),
        (&mac, "auto", &["M1", "Molten", "CPU, 2 threads"]),
        (&mac, "mol", &["Molten"]),
        (&bare, "auto", &["CPU, 2 threads"]),
        (&bare, "gpu", &[]),
        (&bare, "software", &["llvmpipe vulkan", "llvmpipe gl"]),
        (&bare, "mesa 22", &["llvmpipe vulkan", "llvmpipe gl"]),
        (&bare, "gl", &["llvmpipe gl"]),
        (&old, "auto", &["Old gl", "CPU, 2 threads"]),
        (&old, "gpu", &["Old gl"]),
        (&two, "auto", &["Small vk", "Big gl"]),
        (&page, "webgpu", &["llvmpipe webgpu"]),
        (&page, "auto", &[]),
        (&[], "auto", &[]),
        (&[], "vulkan", &[]),
    ];
    for (infos, wanted, expected) in rows {
        let found: Vec<&str> =
            DeviceInfo::choose(wanted, infos).into_iter().map(|at| infos[at].name.as_str()).collect();
        assert_eq!(&found, expected, "{wanted:?}");
    }
}

#[test]
fn what_is_listed_can_be_opened() {
    let list = Device::list();
    let auto = DeviceInfo::choose("auto", &list);
    // One whose driver refuses is passed over.
    #[cfg(feature = "gpu")]
    let auto = {
        let opened = Device::list_opened();
        assert_eq!(opened.iter().map(|(info, _)| info).collect::<Vec<_>>(), list.iter().collect::<Vec<_>>());
        auto.into_iter().filter(|&at| opened[at].1.is_none()).collect::<Vec<_>>()
    };
    let auto = auto.first().map(|&at| &list[at]);
    match Device::open("auto") {
        Ok(device) => assert_eq!(Some(device.info()), auto, "{}", device.why()),
        Err(error) => assert_eq!(auto, None, "{error}"),
    }
    match Device::open("no such adapter") {
        Err(Error::Device { wanted, .. }) => assert_eq!(wanted, "no such adapter"),
        other => panic!("{:?}", other.map(|device| device.info().clone())),
    }
}

#[cfg(feature = "gpu")]
#[test]
fn f16_is_there_where_it_is_said_to_be() {
    use mobileone::{DType, Model, Options, Session};
    let Some(device) = crate::gpu::device() else { return };
    let model =
        Model::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/odd.timm.fused.safetensors")).unwrap();
    let options = Options { dtype: DType::F16, ..Options::of(&model) };
    let session = Session::new(&device, &model, &options);
    match crate::gpu::has_f16(&device) {
        true => drop(session.unwrap()),
        false => assert!(matches!(session, Err(Error::Option(_)))),
    }
}
