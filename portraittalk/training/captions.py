"""What people write when they ask for an expression, and what it asks of the face: the text networks learn
        from these.

A target names ARKit coefficients (a name that ends in _ stands for both sides) beside how far the gaze and the head
turn, in radians: ``right`` and ``down`` for the gaze, ``pitch``, ``yaw`` and ``roll`` for the head, as in
``MotionTrack``. Sides are those of the picture. The phrases are our own.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..text.expression import EXPRESSION_NAMES
from .data import choose, uniform


@dataclass(frozen=True)
class Concept:
    target: dict[str, float]
    phrases: tuple[str, ...]


def _concept(target: dict[str, float], phrases: str) -> Concept:
    return Concept(target, tuple(phrase.strip() for phrase in phrases.replace("\n", " ").split(",")))


CONCEPTS: dict[str, Concept] = {
    "smile": _concept(
        {"mouthSmile_": 0.8, "cheekSquint_": 0.4, "mouthDimple_": 0.15},
        """smiling, a smile, a wide smile, happy, a happy face, happiness, joyful, joy, cheerful, glad, delighted, a
        friendly smile, smiles warmly, pleased, in a good mood, full of joy, a big grin, grinning, laughing,
        about to laugh, merry, a broad smile, content, amused, having fun, thrilled, excited, enthusiastic,
        overjoyed, kind, warm and welcoming, corners of the mouth up, in love, playful, good news,
        celebrating, a winner, proud parent, enjoying the moment, optimistic, charming, sunny, elated,
        jolly, blissful, it is my birthday, says cheese, chuckling, laughter, good humoured, in high
        spirits, lighthearted, satisfied, gleeful, exhilarated, tickled, upbeat, lively, affectionate,
        hopeful, rejoicing, cheering, smiles from ear to ear, bubbly, festive, dancing with joy, cracking up
        at a joke, bright and sunny mood, just got engaged, best day ever""",
    ),
    "sad": _concept(
        {"mouthFrown_": 0.65, "browInnerUp": 0.7, "mouthShrugLower": 0.25, "eyeLookDown_": 0.15},
        """sad, a sad face, sadness, unhappy, sorrowful, sorrow, crying, grieving, grief, heartbroken,
        depressed, down,
        gloomy, mouth corners down, mournful, in tears, disappointed, melancholy, lonely, hopeless, in
        despair, downhearted, regretful, sorry, a tearful look, somebody died, at a funeral, bad news,
        homesick, lost everything, hurt feelings, low spirits, tragic, pity, wants to cry, gloom, defeated,
        feeling low, wailing, blubbering, forlorn, wretched, bleak, sombre, crushed, tearing up, woeful,
        pining, broken, dismal, aggrieved, inconsolable, crestfallen, discouraged, feels empty, teary eyed,
        his pet died, a widow, lamenting, downcast mood, abandoned""",
    ),
    "angry": _concept(
        {"browDown_": 0.9, "eyeSquint_": 0.4, "noseSneer_": 0.4, "mouthPress_": 0.25, "mouthFrown_": 0.2},
        """angry, an angry face, anger, furious, mad, enraged, an angry stare, rage, full of rage, aggressive,
        irritated, annoyed, hostile, scowling, a mean look, outraged, a threatening look, bad tempered,
        fierce, hateful, hatred, vengeful, boiling, wants to fight, shouting at somebody, resentful, bitter,
        losing his temper, cross, violent, cruel, evil, grim, infuriated, provoked, about to explode,
        attacking, menacing, a villain, growling, raging, incensed, irate, fuming, heated, wild with anger,
        hot headed, ferocious, spiteful, hissing, indignant, yelling at a rival, exasperated, steaming,
        gritting the teeth in anger, baring the teeth, vicious, vengeance, like an angry dog, wants revenge,
        swearing""",
    ),
    "surprised": _concept(
        {"browInnerUp": 0.8, "browOuterUp_": 0.8, "eyeWide_": 0.8},
        """surprised, surprised eyebrows up, a surprised face, surprise, astonished, astonishment, amazed, shocked, in
        disbelief, startled, a look of wonder, stunned, caught off guard, full of amazement, eyes wide with
        surprise, speechless, awe, impressed, wow, what a surprise, did not expect that, unexpected news,
        sudden, blown away, marvelling, a revelation, taken aback, baffled, confused and surprised, oh my
        god, unbelievable, perplexed, thunderstruck, astounded, staggered, mind blown, open mouthed with
        surprise, stupefied, wide eyed and amazed, did not see that coming, mystified, puzzled and stunned,
        electrified, a shock, lost for words, struck by lightning, spellbound""",
    ),
    "worried": _concept(
        {"browInnerUp": 0.9, "browDown_": 0.25, "mouthFrown_": 0.25, "mouthStretch_": 0.15, "eyeSquint_": 0.1},
        """worried, a worried look, worry, anxious, anxiety, nervous, concerned, concern, uneasy, troubled, stressed,
        full of doubt and worry, apprehensive, tense, insecure, distressed, restless, something is wrong,
        under pressure, fearing the worst, compassionate, waiting for the doctor, expecting trouble,
        overwhelmed, bothered, on tenterhooks, uncertain, in trouble, nerves, jittery, agitated, biting her
        nails, fidgety, perturbed, upset and worried, disquieted, alarmed and tense, panicky, desperate,
        biting the lips, fearful about tomorrow, brooding, ill at ease, rattled, unsettled, on edge,
        careworn, tormented by doubts, disturbed, frazzled""",
    ),
    "afraid": _concept(
        {"eyeWide_": 0.8, "browInnerUp": 0.9, "mouthStretch_": 0.45, "browOuterUp_": 0.3},
        """afraid, scared, frightened, terrified, fear, full of fear, in panic, horrified, fearful eyes, a frightened
        face, terror, horror, scared to death, running for his life, nightmare, panicking, alarmed,
        threatened, in danger, seeing something terrible, hiding from a killer, a victim, trembling,
        screaming, haunted, phobia, creeped out, aghast, shuddering, cowering, fleeing, frozen with fear,
        shaking with fear, timorous, hysterical, seen a spirit in the dark, attacked by a beast, scared
        stiff, sheer terror, spine chilling, menaced""",
    ),
    "disgust": _concept(
        {"noseSneer_": 0.8, "mouthUpperUp_": 0.45, "browDown_": 0.45, "eyeSquint_": 0.4},
        """disgusted, a look of disgust, disgust, revolted, wrinkled nose, smells something bad, repulsed,
        grossed out,
        sickened, a bad smell, tastes something sour, ugh, about to vomit, queasy, it stinks, filthy, eating
        a lemon, horrible taste, nasty, turns up the nose, loathing, dirty, vile, sick to the stomach, finds it
        revolting, spoiled milk, foul odour, gagging, retching, appalled, ew, a cockroach
        in the soup, mouldy bread, distaste, offensive smell, icky""",
    ),
    "smirk": _concept(
        {"mouthSmileLeft": 0.65, "mouthDimpleLeft": 0.3, "eyeSquint_": 0.2},
        """a smirk, smirking, a crooked smile, contempt, contemptuous, smug, mocking, ironic, sarcastic, a lopsided
        grin, arrogant, a half smile, scornful, cheeky, sly, cynical, looks down on others, condescending, a
        knowing smile, mischievous, scheming, cocky, snobbish, teasing, derisive, sardonic, a snide look,
        jeering, taunting, superior, disdainful, gloating, sly grin, wry""",
    ),
    "doubt": _concept(
        {"browOuterUpLeft": 0.8, "browDownRight": 0.6, "eyeSquintRight": 0.4},
        """skeptical, doubtful, doubt, one eyebrow raised, suspicious, suspicion, not convinced, a questioning look,
        raising an eyebrow, distrustful, mistrust, hard to believe, really?, are you sure, a critical look,
        curious, wary, unsure whether it is true, a detective, judging, asking a question, disbelieving,
        dubious, unbelieving, quizzical, not buying it, raised brow of doubt, sceptic, leery, mistrusting,
        questioning, does not believe a word, hmm""",
    ),
    "tired": _concept(
        {"eyeBlink_": 0.42, "browInnerUp": 0.2, "eyeLookDown_": 0.1},
        """tired, sleepy, drowsy, exhausted, half closed eyes, heavy eyelids, weary, worn out, needs sleep,
        eyes almost
        shut, sleep, falling asleep, no energy, after a night without sleep, late at night, jet lag, burned
        out, lazy, just woke up, drained, dozing off, sluggish, hung over, overworked, nodding off, good
        night, asleep, snoozing, napping, knackered, groggy, bleary eyed, lethargic, can hardly
        stay awake, dead tired, dreamy and tired, sleeping, wants to go to sleep, spent, bone tired, slumped""",
    ),
    "squint": _concept(
        {"eyeSquint_": 0.9, "cheekSquint_": 0.3, "browDown_": 0.3},
        """squinting, narrowed eyes, blinded by the sun, eyes narrowed to slits, peering, squinted eyes, dazzled,
        looking into bright light, tight eyes, cannot see well, short sighted, trying to read small letters,
        the sun blinds him, eyes screwed up, half shut eyes against the light, slitted eyes, scrunched eyes,
        light in the eyes""",
    ),
    "wide_eyes": _concept(
        {"eyeWide_": 0.9},
        """wide open eyes, wide eyes, eyes wide open, big eyes, staring eyes, huge eyes, eyes like saucers, bulging
        eyes, large eyes, a stare, eyes fully open, very open eyes""",
    ),
    "brows_up": _concept(
        {"browInnerUp": 0.9, "browOuterUp_": 0.9},
        """raised eyebrows, eyebrows up, brows lifted, lifting the brows, high eyebrows, eyebrows raised high, arched
        brows, brows up, forehead wrinkled upwards, lifts both eyebrows""",
    ),
    "brows_down": _concept(
        {"browDown_": 0.9},
        """frowning, lowered eyebrows, eyebrows down, knitted brows, furrowed brow, brows drawn together, a frown,
        concentrating, concentrated, focused, stern, strict, determined, severe, a wrinkled forehead,
        intense""",
    ),
    "pout": _concept(
        {"mouthPucker": 0.35, "mouthShrugLower": 0.7, "mouthFrown_": 0.2},
        """pouting, sulking, lower lip pushed out, a pout, offended like a child, sulky, a sullen child, moping, a
        grumpy child, stubborn, petulant""",
    ),
    "kiss": _concept(
        {"mouthPucker": 0.9},
        """kissing, puckered lips, lips pursed for a kiss, blowing a kiss, duck face, a kiss, kissy face, whistling,
        pursed lips, lips pushed forward, kisses you, romantic kiss, giving a peck on the cheek, kisses,
        snogging, lips like a kiss, mouth shaped for kissing, making out, kissing somebody, mwah""",
    ),
    "puff": _concept(
        {"cheekPuff": 0.9},
        """puffed cheeks, cheeks full of air, blowing up the cheeks, inflated cheeks, puffing, cheeks like a hamster,
        holding the breath with full cheeks, blowing up a balloon, round cheeks full of air""",
    ),
    "pain": _concept(
        {"browDown_": 0.8, "eyeSquint_": 0.8, "mouthStretch_": 0.4, "noseSneer_": 0.4, "cheekSquint_": 0.5},
        """in pain, pain, suffering, wincing, grimacing, hurt, agony, it hurts, tortured, a toothache, tormented, a
        headache, injured, hit his thumb, wounded, a cramp, unbearable, tooth pulled, stung, burnt her
        fingers, sore, anguish, throbbing, pained, smarting, excruciating, back pain, a stomach ache,
        groaning, stabbed""",
    ),
    "bored": _concept(
        {"eyeBlink_": 0.34, "mouthFrown_": 0.2, "browDown_": 0.1, "mouthShrugLower": 0.2},
        """bored, indifferent, uninterested, unimpressed, dull, listless, boredom, does not care, monotonous, fed up,
        waiting forever, whatever, disinterested, has seen it all, passive, unmotivated, meh, unenthusiastic,
        blase, detached, disengaged, jaded, weary of it all, could not care less, half
        hearted, lacklustre, impassive""",
    ),
    "calm": _concept(
        {},
        """calm, neutral, serious, relaxed, without expression, a blank face, emotionless, a poker face,
        expressionless, plain face, composed, no emotion, speaking normally, ordinary, natural, just
        talking, quiet, peaceful, cool, balanced, a passport photo, as it is, unmoved, factual, a news
        reader, professional, sober, at rest, serene, unchanged, collected, formal, still, straight face,
        level headed, matter of fact, impassive, stony faced, unemotional, untroubled, placid, neutral mouth,
        unruffled, at peace, nothing special, reserved, inscrutable,
        poised, dispassionate, even tempered, steady, undisturbed""",
    ),
    "proud": _concept(
        {"mouthSmile_": 0.3, "browOuterUp_": 0.15, "pitch": -0.1},
        """proud, confident, chin up, self assured, triumphant, dignified, pride, self confident, a champion, noble,
        strong and sure, heroic, a king, victorious, honoured""",
    ),
    "shy": _concept(
        {"mouthSmile_": 0.3, "eyeLookDown_": 0.2, "down": 0.25, "roll": 0.08},
        """shy, bashful, embarrassed, timid, coy, ashamed, shyness, blushing, modest, humble, awkward, flattered, does
        not dare to look""",
    ),
    "wink": _concept(
        {"eyeBlinkLeft": 0.6, "mouthSmileLeft": 0.4, "cheekSquintLeft": 0.4},
        "winking, a wink, one eye closed, winks at you, flirting, flirty, closes one eye, a flirtatious wink",
    ),
    "gaze_left": _concept(
        {"right": -0.35},
        """looking left, eyes looking left, eyes to the left, gaze to the left, glancing left, eyes turned left, looks
        to the left side, left gaze, pupils left, watching something on the left, staring left, eyes shifted
        left, sideways glance to the left""",
    ),
    "gaze_right": _concept(
        {"right": 0.35},
        """looking right, eyes looking right, eyes to the right, gaze to the right, glancing right, eyes turned right,
        looks to the right side, right gaze, pupils right, watching something on the right, staring right,
        eyes shifted right, sideways glance to the right""",
    ),
    "gaze_up": _concept(
        {"down": -0.3},
        """looking up, eyes looking up, eyes turned upwards, gaze to the sky, looking at the ceiling, eyes rolled
        upwards, eyes up, looks above, watching the stars, rolling her eyes, watching a plane above, staring
        upward, eyes raised, looks at the roof, gaze upwards, watching clouds, staring at the sky, eyes on
        the top""",
    ),
    "gaze_down": _concept(
        {"down": 0.3, "eyeLookDown_": 0.3},
        """looking down, eyes looking down, eyes lowered, gaze to the floor, downcast eyes, looking at the
        ground, eyes
        down, looks below, reading a book, looking at a phone, watching his feet, lowered gaze, staring
        downward, gaze downwards, looks at the table, watching the floor, eyes on the bottom""",
    ),
    "head_left": _concept(
        {"yaw": -0.25},
        "head turned to the left, turns the head left, face turned left, head to the left, turned left, left profile",
    ),
    "head_right": _concept(
        {"yaw": 0.25},
        "head turned to the right, turns the head right, face turned right, head to the right, turned right",
    ),
    "head_down": _concept({"pitch": 0.2}, "head bowed, head down, bows the head, lowered head, chin on the chest"),
    "head_up": _concept({"pitch": -0.2}, "head raised, head up, lifts the head, raised chin, head thrown back"),
    "tilt": _concept({"roll": 0.2}, "head tilted, tilts the head, head to one side, tilted head, cocked head"),
    "thinking": _concept(
        {"browDown_": 0.3, "eyeSquint_": 0.2, "down": -0.2, "right": -0.2},
        """thinking, thoughtful, pensive, lost in thought, contemplating, wondering, reflecting, remembering
        something,
        daydreaming, solving a puzzle, searching for words, considering, philosophical, meditating on a
        question""",
    ),
}

FRAMES = (
    "{}", "a person {}", "{} expression", "looks {}", "very natural, {}", "portrait, {}", "the woman is {}",
        "he is {}",
    "speaking, {}", "{} while talking", "he seems {}", "she feels {}", "a face that is {}", "please make them {}",
    "{} face", "as if {}", "with a look that says {}", "{} person", "like somebody who is {}", "feeling {}",
)  # fmt: skip
STRENGTHS = {
    "slightly {}": 0.4, "a little {}": 0.45, "somewhat {}": 0.6, "faintly {}": 0.35, "a bit {}": 0.45,
    "subtle, {}": 0.4, "very {}": 1.25, "extremely {}": 1.4, "really {}": 1.2, "intensely {}": 1.4,
    "strongly {}": 1.3, "so {}": 1.2,
}  # fmt: skip
DENIALS = ("not {}", "without being {}", "never {}", "no longer {}", "not at all {}")
JOINTS = ("{} and {}", "{}, {}", "{} but {}", "{} with {}", "both {} and {}")
# What says nothing about a face's expression, though people write it.
ELSE = tuple(
    phrase.strip()
    for phrase in """a red car, oil painting, black and white photograph, pencil sketch, anime, a mountain at sunset,
    warm light, highly detailed, a dog in the park, the weather, studio lighting, a blue shirt, cinematic, watercolor,
    the quick brown fox, tax forms, a computer program, green background, long hair, wearing glasses, vintage film,
    neon light, a city at night, playing football, cooking soup, high resolution photo, bokeh, professional headshot,
    a house by the lake, old man, young woman, blonde, a beard, a hat, comic style, impressionism, soft focus, sharp,
    4k, masterpiece, fantasy castle, space ship, science fiction, a library, rain, snow, forest, cartoon, 3d render,
    pastel colours, sepia, dramatic lighting, gold jewellery, a leather jacket, ten people, a horse, chocolate,
    mathematics, the stock market, a train, music, tattoo, freckles, make up, red lipstick, a soldier, a nurse, Paris,
    winter, morning light, high contrast, low quality, blurry, noise, watermark, text, signature""".replace(
        "\n", " "
    ).split(",")
)


def target_vector(target: dict[str, float]) -> Tensor:
    """A concept's target in the order of ``EXPRESSION_NAMES``: (T,)."""
    vector = torch.zeros(len(EXPRESSION_NAMES))
    for name, value in target.items():
        sides = (f"{name[:-1]}Left", f"{name[:-1]}Right") if name.endswith("_") else (name,)
        for side in sides:
            vector[EXPRESSION_NAMES.index(side)] = value
    return vector


def caption(generator: Generator) -> tuple[str, Tensor, float]:
    """A random caption, what it asks for (T,), and 1 where it asks for an expression at all, else 0."""
    names = list(CONCEPTS)

    def pick() -> tuple[str, Tensor]:
        concept = CONCEPTS[names[choose(len(names), generator)]]
        phrase = concept.phrases[choose(len(concept.phrases), generator)]
        return phrase, target_vector(concept.target)

    def of(options: tuple[str, ...]) -> str:
        return options[choose(len(options), generator)]

    phrase, target = pick()
    kind = float(uniform(0, 1, generator))
    if kind < 0.3:
        text = phrase
    elif kind < 0.5:
        text = of(FRAMES).format(phrase)
    elif kind < 0.65:
        form = of(tuple(STRENGTHS))
        text, target = form.format(phrase), target * STRENGTHS[form]
    elif kind < 0.72:
        text, target = of(DENIALS).format(phrase), target * 0
    elif kind < 0.87:
        other, more = pick()
        text, target = of(JOINTS).format(phrase, other), target + more
    elif kind < 0.94:
        text = of(("{}, {}", "{1}, {0}")).format(phrase, of(ELSE))
    else:
        return of(FRAMES[:4]).format(of(ELSE)), target * 0, 0.0
    return text, target, 1.0
