//! Outputs by name, of a network that gives maps too.

use std::{
    ffi::{CStr, CString, c_char},
    mem, ptr,
    sync::Arc,
};

use engine::{Input, Model, Shape, Tensor, labels::Labels, sample};

use crate::{
    answer::{MobileoneAnswer, MobileoneFloats, MobileoneNamed, NOTHING},
    device::{MobileoneDevice, mobileone_device_close, mobileone_device_open},
    error::{
        MOBILEONE_BUFFER_TOO_SMALL, MOBILEONE_OK, MOBILEONE_OPTION, MobileoneStatus, mobileone_last_error,
    },
    model::{MODELS, MobileoneModel, Opened, mobileone_model_close},
    options::{MOBILEONE_OUTPUT_FEATURES, MobileoneOptions},
    outputs::{MobileoneOutputInfo, mobileone_model_outputs, mobileone_session_outputs},
    session::{
        MobileoneSession, SESSIONS, lifecycle::mobileone_session_close, mobileone_run_tensor,
        mobileone_session_open,
    },
};

/// The built-in model, which gives maps of 20×20 and 5×5 too, and more channels than [`crate::answer`] writes together.
fn with_maps(classifies: bool) -> MobileoneModel {
    let mut model = Model::from_bytes(sample::DIGITS).unwrap();
    let input = Shape::new(1, 80, 80, 3);
    let shapes = model.graph.check(&model.weights, input).unwrap().shapes().to_vec();
    for side in [20, 5] {
        let node = shapes.iter().rposition(|shape| shape.h == side).unwrap();
        model.graph.give(format!("stride{}", 80 / side), node);
    }
    if !classifies {
        model.graph.outputs.retain(|output| output.name.starts_with("stride"));
    }
    let labels = Labels::choose(None, None, model.graph.classes().unwrap_or(0)).unwrap();
    MODELS.insert(Arc::new(Opened { model, labels })).unwrap()
}

fn options() -> MobileoneOptions {
    // SAFETY: all bytes 0 are options.
    let options: MobileoneOptions = unsafe { mem::zeroed() };
    MobileoneOptions { size: size_of::<MobileoneOptions>() as u32, ..options }
}

fn open(model: MobileoneModel, device: MobileoneDevice, options: &MobileoneOptions) -> MobileoneSession {
    let mut session = 0;
    // SAFETY: all pointers lead to what the function says.
    assert_eq!(unsafe { mobileone_session_open(model, device, options, &mut session) }, MOBILEONE_OK);
    session
}

type List = unsafe extern "C" fn(u64, *mut MobileoneOutputInfo, usize, *mut usize) -> MobileoneStatus;

fn listed(list: List, handle: u64) -> Vec<(String, [u32; 3])> {
    // SAFETY: all bytes 0 are infos, of which the first has its size; the others are as far apart as it says.
    let (infos, count) = unsafe {
        let mut infos: [MobileoneOutputInfo; 8] = mem::zeroed();
        infos[0].size = size_of::<MobileoneOutputInfo>() as u32;
        let mut count = 0;
        assert_eq!(list(handle, infos.as_mut_ptr(), infos.len(), &mut count), MOBILEONE_OK);
        (infos, count)
    };
    let text = |name: &[c_char]| {
        let bytes: Vec<u8> = name.iter().map(|&byte| byte as u8).collect();
        CStr::from_bytes_until_nul(&bytes).unwrap().to_str().unwrap().to_owned()
    };
    infos[..count].iter().map(|one| (text(&one.name), [one.channels, one.height, one.width])).collect()
}

fn row(name: &str, shape: [u32; 3]) -> (String, [u32; 3]) {
    (name.into(), shape)
}

fn last_error() -> String {
    // SAFETY: it ends with a 0 and stays until the next failure of this thread.
    unsafe { CStr::from_ptr(mobileone_last_error()) }.to_str().unwrap().to_owned()
}

#[test]
fn maps_and_vectors_come_back_by_name() {
    let mut device = 0;
    // SAFETY: both lead to what the function says.
    let opened = |device: &mut _, name: &CStr| unsafe { mobileone_device_open(name.as_ptr(), device) };
    assert_eq!(opened(&mut device, c"cpu"), MOBILEONE_OK);
    on(device);
    // Without one, what C adds to a frame says so.
    if opened(&mut device, c"vulkan") == MOBILEONE_OK {
        on(device);
    }
}

fn on(device: MobileoneDevice) {
    let model = with_maps(true);
    let (maps, classes) = ([row("stride4", [32, 20, 20]), row("stride16", [160, 5, 5])], [11, 1, 1]);
    let known = [row("features", [256, 1, 1]), row("logits", classes)];
    let all = [&known[..], &maps, &[row("probabilities", classes)]].concat();
    let listed_all = listed(mobileone_model_outputs, model);
    assert_eq!(listed_all, all, "in the order of the graph");

    // Those of the bits come first; a name twice comes once.
    let names = CString::new("stride16, probabilities,features,stride4,stride16").unwrap();
    let outputs = MOBILEONE_OUTPUT_FEATURES;
    let session =
        open(model, device, &MobileoneOptions { batch: 2, outputs, names: names.as_ptr(), ..options() });
    let order = ["features", "stride16", "probabilities", "stride4"];
    let given: Vec<(String, [u32; 3])> =
        order.iter().map(|name| all.iter().find(|(known, _)| known == name).unwrap().clone()).collect();
    assert_eq!(listed(mobileone_session_outputs, session), given);

    // Three pictures, a batch and a half.
    let shape = Shape::new(3, 80, 80, 3);
    let values: Vec<f32> = (0..shape.len()).map(|at| (at * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let run = |answer: &mut MobileoneAnswer| {
        // SAFETY: all pointers lead to what the function says.
        unsafe { mobileone_run_tensor(session, values.as_ptr(), values.len(), answer) }
    };
    let names: Vec<CString> = order.iter().map(|&name| CString::new(name).unwrap()).collect();
    let mut named: Vec<MobileoneNamed> = names
        .iter()
        .map(|name| MobileoneNamed { name: name.as_ptr(), values: ptr::null_mut(), capacity: 0, count: 0 })
        .collect();
    let mut answer = MobileoneAnswer { named: named.as_mut_ptr(), named_count: named.len(), ..NOTHING };
    assert_eq!(run(&mut answer), MOBILEONE_OK);
    let counts: Vec<usize> = named.iter().map(|one| one.count).collect();
    let expected: Vec<usize> =
        given.iter().map(|(_, shape)| 3 * shape.iter().product::<u32>() as usize).collect();
    assert_eq!((&counts, answer.features.count, answer.logits.count), (&expected, 3 * 256, 0));

    let mut places: Vec<Vec<f32>> = counts.iter().map(|&count| vec![f32::NAN; count + 1]).collect();
    for (one, place) in named.iter_mut().zip(&mut places) {
        (one.values, one.capacity) = (place.as_mut_ptr(), one.count);
    }
    named[3].capacity -= 1;
    let mut features = vec![0.0; 3 * 256];
    answer.features = MobileoneFloats { values: features.as_mut_ptr(), capacity: features.len(), count: 0 };
    answer.named = named.as_mut_ptr();
    assert_eq!(run(&mut answer), MOBILEONE_BUFFER_TOO_SMALL);
    assert_eq!(
        last_error(),
        format!("stride4 takes {} values, found place for {}", counts[3], counts[3] - 1)
    );
    assert!(places.iter().flatten().all(|value| value.is_nan()), "nothing but the counts is written");
    named[3].capacity += 1;
    answer.named = named.as_mut_ptr();
    assert_eq!(run(&mut answer), MOBILEONE_OK);
    let tensor = Tensor::new(shape, values.clone()).unwrap();
    let found = SESSIONS.get(session).unwrap().engine.run(Input::Tensor(&tensor)).unwrap();
    for (name, place) in order.iter().zip(&places) {
        let (behind, values) = place.split_last().unwrap();
        assert!(values == found.get(name).unwrap().to_nchw() && behind.is_nan(), "{name}");
    }
    assert_eq!(features, found.features());
    assert_eq!(mobileone_session_close(session), MOBILEONE_OK);

    let (mut other, unknown) = (7, c"stride4,boxes");
    let wrong = MobileoneOptions { names: unknown.as_ptr(), ..options() };
    // SAFETY: all pointers lead to what the function says.
    let status = unsafe { mobileone_session_open(model, device, &wrong, &mut other) };
    assert_eq!((status, other), (MOBILEONE_OPTION, 0));
    let says = "\"boxes\", only features, logits, stride4, stride16, probabilities";
    assert!(last_error().ends_with(says), "{}", last_error());
    assert_eq!(mobileone_model_close(model), MOBILEONE_OK);

    // Without a classifier all comes back, or what is named; a bit of what there is not asks for nothing.
    let model = with_maps(false);
    let session = open(model, device, &options());
    assert_eq!(listed(mobileone_model_outputs, model), maps);
    assert_eq!(listed(mobileone_session_outputs, session), maps);
    assert_eq!(mobileone_session_close(session), MOBILEONE_OK);
    let names = c"stride16".as_ptr();
    let session = open(model, device, &MobileoneOptions { outputs: 7, names, ..options() });
    assert_eq!(listed(mobileone_session_outputs, session), maps[1..]);
    assert_eq!(mobileone_session_close(session), MOBILEONE_OK);
    assert_eq!(mobileone_model_close(model), MOBILEONE_OK);
    assert_eq!(mobileone_device_close(device), MOBILEONE_OK);
}
