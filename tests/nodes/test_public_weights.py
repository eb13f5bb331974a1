"""A tiny random checkpoint in a public layout, converted, through the nodes: from the loader to the saved video."""

import shutil

import pytest
import torch

FRAMES = 3
TEMPLATE = "/{repo_id}/resolve/{revision}/{filename}"
TALKING = dict(seed=1, steps=0, fps=25.0, window=12, overlap=-1)
SCALES = dict(identity_scale=1.0, audio_scale=1.0, structure_scale=1.0)


@pytest.fixture(scope="module")
def converted(checkpoint, tmp_path_factory):
    """The tiny checkpoint as one file, made to be run in two steps."""
    from dataclasses import replace

    from portraittalk.weights.public import convert

    layout = replace(checkpoint[0], config=replace(checkpoint[0].config, steps=2))
    path = tmp_path_factory.mktemp("converted") / "echomimic.safetensors"
    convert(layout, checkpoint[2], path)
    return path


@pytest.fixture(scope="module")
def public(host, converted):
    """The converted model, as its node loads it."""
    return host.models.load(converted)


@pytest.fixture(scope="module")
def public_identity(encode_portrait, public):
    return encode_portrait(public)


@pytest.fixture
def speech(speech):
    """Less of the sound: these networks are slow even when they are tiny."""
    return speech | {"waveform": speech["waveform"][..., : 44100 * FRAMES // 25]}


@pytest.fixture
def sample(run, public, public_identity, speech):
    inputs = dict(model=public, identity=public_identity, audio=speech, output={"output": "frames"}) | TALKING | SCALES
    return lambda **changed: run("PortraitTalkAnimateNetSampler", **(inputs | changed))


def test_from_the_loader_to_a_saved_video(run, sample, folders, portrait):
    frames, video, _, _ = sample()
    assert frames.shape == (FRAMES, *portrait.shape[1:])
    assert (frames - portrait).abs().amax((0, 3)).max() > 0.05  # the networks are random, and they draw
    form = {"format": "mp4", "quality": 80}
    run("PortraitTalkSaveVideo", video=video, fps=25.0, format=form, filename_prefix="talk")
    assert (folders["output"] / "talk_00001_.mp4").stat().st_size > 1000


def test_crops_are_those_of_the_seed_and_can_be_pasted_back(run, sample, portrait):
    crops, _, _, crop_data = sample(output={"output": "crops"})
    assert crops.shape == (FRAMES, 128, 128, 3)
    assert not torch.equal(crops, sample(output={"output": "crops"}, seed=4)[0])
    pasted = run("PortraitTalkPasteBack", crops=crops, crop_data=crop_data, scale=1.0)[0]
    assert pasted.shape == (FRAMES, *portrait.shape[1:])


def test_comfyui_makes_as_much_room_as_the_run_will_hold(sample, encode_half, public, monkeypatch, caplog):
    import comfy.model_management as management

    larger, asked, load = encode_half(public), [], management.load_models_gpu
    monkeypatch.setattr(
        management,
        "load_models_gpu",
        lambda models, **given: asked.append(given["memory_required"]) or load(models, **given),
    )
    with caplog.at_level("INFO"):
        for mode in ("crops", "frames"):
            sample(identity=larger, output={"output": mode})
    crops, whole = asked
    assert 1e6 < crops < whole < 1e9  # whole pictures are pasted together
    assert caplog.text.count("memory: about") == 2


def test_a_motion_track_is_made_and_does_not_act_on_it_which_is_said(run, public, sample, speech, caplog):
    motion = run(
        "PortraitTalkSpeechToMotion", model=public, audio=speech, head_motion=1.0, expression_strength=1.0, seed=7
    )[0]
    assert len(motion) == FRAMES and motion.expression.abs().max() > 0.01  # mini's network listens
    first, again = sample(motion=motion)[0], sample()[0]
    assert torch.equal(first, again)
    assert "is ignored" in caplog.text


def test_a_prompt_is_refused(run, public, sample, library):
    texts = dict(negative_prompt="", text_scale=1.0, guidance_scale=1.0)
    smile = run("PortraitTalkTextStyleCondition", model=public, prompt="a smile", **texts)[0]
    with pytest.raises(library("errors").SettingsError, match="reads no prompts"):
        sample(style=smile)


def test_an_identity_of_another_model_is_refused(sample, identity, library):
    with pytest.raises(library("errors").SettingsError, match="crops of 256 pixels"):
        sample(identity=identity)


def test_fast_decoding_without_a_fast_decoder_is_refused(sample, library):
    with pytest.raises(library("errors").SettingsError, match="no fast decoder"):
        sample(fast_decode=True)


@pytest.mark.parametrize("mode", ["frames", "video file"])
def test_cancel_leaves_nothing_behind(sample, folders, cancel_after, mode):
    import comfy.model_management as management

    before = sorted(folders["temp"].iterdir())
    cancel_after(2)
    with pytest.raises(management.InterruptProcessingException):
        sample(output={"output": mode})
    assert sorted(folders["temp"].iterdir()) == before


def test_cancel_is_heeded_inside_of_a_network(public):
    import comfy.model_management as management

    model = public.ready()
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        model.reference_net(torch.zeros(1, 4, 16, 16))
    assert len(model.reference_net(torch.zeros(1, 4, 16, 16))) > 0  # pressed once, heeded once


def test_without_a_motion_track_mini_makes_its_own(run, model, identity, speech):
    inputs = dict(model=model, identity=identity, audio=speech, output={"output": "frames"}) | TALKING | SCALES
    frames = run("PortraitTalkAnimateNetSampler", **inputs)[0]
    settings = dict(head_motion=1.0, expression_strength=1.0, seed=1)
    motion = run("PortraitTalkSpeechToMotion", model=model, audio=speech, **settings)[0]
    assert torch.equal(frames, run("PortraitTalkAnimateNetSampler", **inputs, motion=motion)[0])


@pytest.fixture
def chosen(checkpoint, folders, library, monkeypatch):
    """The tiny checkpoint's files under their public names, as the loader's widgets have them; the layout is tiny."""
    monkeypatch.setitem(library("weights.public").LAYOUTS, "echomimic-acc", checkpoint[0])
    (folders["models"] / "public").mkdir()
    files = library("weights.catalogue").catalogue().models["echomimic-acc"].files
    for role, path in checkpoint[2].items():
        shutil.copy(path, files[role].place(folders["models"]))
    return as_chosen("echomimic-acc", files, taesd="none")


def as_chosen(name, files, **others):
    """What a node gets whose model has inputs of its own."""
    return {"model": {"model": name, **{role: file.name for role, file in files.items()}, **others}}


def test_public_files_are_converted_once(run, nodes, chosen, folders, library):
    loader = nodes["PortraitTalkPublicModelLoader"]
    before = loader.fingerprint_inputs(**chosen)
    loaded = run("PortraitTalkPublicModelLoader", **chosen)[0]
    assert loaded.model.config.name == "echomimic" and loaded.model.speech_encoder is not None
    (made,) = folders["models"].glob("*.safetensors")
    written = made.stat().st_mtime_ns
    run("PortraitTalkPublicModelLoader", **chosen)
    assert made.stat().st_mtime_ns == written and loader.fingerprint_inputs(**chosen) == before
    run("PortraitTalkModelLoader", model=made.name)


@pytest.fixture
def refused(run, library):
    """What the loader of public files says of a choice that it refuses."""

    def sentence(**chosen):
        with pytest.raises(library("errors").WeightsError) as refusal:
            run("PortraitTalkPublicModelLoader", **chosen)
        return str(refusal.value)

    return sentence


def test_what_is_missing_or_foreign_is_named(nodes, refused, chosen, folders):
    place, model = folders["models"] / "public", chosen["model"]
    assert "vae.pth" in refused(model=model | {"vae": "vae.pth"})
    assert "does not belong to echomimic:" in refused(model=model | {"model": "echomimic"})
    assert "no model 'stable'" in refused(model=model | {"model": "stable"})
    before = nodes["PortraitTalkPublicModelLoader"].fingerprint_inputs(**chosen)
    (place / model["face_locator"]).unlink()
    assert nodes["PortraitTalkPublicModelLoader"].fingerprint_inputs(**chosen) != before
    told = refused(**chosen)
    url = "https://huggingface.co/BadToBest/EchoMimic/resolve/main/face_locator.pth"
    assert model["face_locator"] in told and url in told and str(place) in told and "download_missing" in told
    told = nodes["PortraitTalkModelLoader"].validate_inputs(model="echomimic-acc.safetensors")
    assert str(folders["models"] / "echomimic-acc.safetensors") in told and "face_locator.pth" in told


def test_missing_files_are_downloaded_on_request(run, chosen, folders, library, hub, monkeypatch):
    file = library("weights.catalogue").catalogue().models["echomimic-acc"].files["face_locator"]
    place = folders["models"] / "public" / file.name
    hub.files[f"{file.repo}/{file.path}"] = place.read_bytes()
    place.unlink()
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + TEMPLATE)
    loaded = run("PortraitTalkPublicModelLoader", **chosen, download_missing=True)[0]
    assert loaded.model.config.name == "echomimic" and len(hub.asked) == 1
    assert place.read_bytes() == hub.files[f"{file.repo}/{file.path}"]


def test_every_model_that_can_animate_is_offered_with_its_files(nodes, folders, library):
    model, _ = nodes["PortraitTalkPublicModelLoader"].GET_SCHEMA().inputs
    known = library("weights.catalogue").catalogue().models
    offered = {option.key: {file.id: file.default for file in option.inputs} for option in model.options}
    assert offered == {
        name: {role: file.name for role, file in each.files.items()}
        for name, each in known.items()
        if name != "identity"  # which edits
    }


def test_what_a_model_needs_beside_it_is_named_too(refused, folders, library):
    public = library("weights.catalogue").catalogue().models["animatediff"]
    told = refused(**as_chosen("animatediff", public.files))
    assert all(file.url in told for file in public.needed) and str(folders["models"] / "clip-tokenizer") in told


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "damaged"),
        (lambda path: torch.save({"weight": torch.zeros(2)}, path), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
    ],
)
def test_harmed_files_are_refused_in_a_sentence(run, folders, converted, library, harm, words):
    path = folders["models"] / converted.name
    shutil.copy(converted, path)
    harm(path)
    with pytest.raises(library("errors").WeightsError, match=words) as refused:
        run("PortraitTalkModelLoader", model=path.name)
    assert path.name in str(refused.value) and "\n" not in str(refused.value)


@pytest.fixture
def keypoint_model(run, folders):
    """A tiny LivePortrait, by its loader."""
    from liveportrait_networks import random_liveportrait

    from portraittalk.weights.load import save_weights

    model = random_liveportrait()
    parts = {name: module.state_dict() for name, module in model.modules().items()}
    save_weights(folders["models"] / "liveportrait.safetensors", model.config, parts)
    return run("PortraitTalkModelLoader", model="liveportrait.safetensors")[0]


def test_cancel_is_heeded_inside_of_a_network_that_draws_from_keypoints(keypoint_model):
    import comfy.model_management as management

    model = keypoint_model.ready()
    crop = torch.zeros(1, 3, 32, 32)
    for draw in (
        lambda: model.appearance(crop),
        lambda: model.motion_extractor(crop),
        lambda: model.generator(torch.zeros(1, 32, 4, 4)),
    ):
        draw()
        management.interrupt_current_processing()
        with pytest.raises(management.InterruptProcessingException):
            draw()


def test_crops_of_keypoints_can_be_pasted_back(run, keypoint_model, encode_half, half_portrait, speech):
    inputs = dict(model=keypoint_model, identity=encode_half(keypoint_model), audio=speech) | TALKING | SCALES
    crops, _, _, data = run("PortraitTalkAnimateNetSampler", output={"output": "crops"}, **inputs)
    whole = run("PortraitTalkAnimateNetSampler", output={"output": "frames"}, **inputs)[0]
    pasted = run("PortraitTalkPasteBack", crops=crops, crop_data=data, scale=1.0)[0]
    assert pasted.shape == whole.shape == (FRAMES, *half_portrait.shape[1:])
    assert (pasted - whole).abs().mean() < 0.3 * (half_portrait - whole).abs().mean()
