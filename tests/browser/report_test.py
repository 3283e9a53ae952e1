"""report.html in a real browser: opened from a file, nothing leaves, words change what is drawn, keys and regions work, texts stay texts.

Usage: report_test.py GAZE SOURCE_DIR FILES_DIR, where GAZE is the tool and FILES what tests/package/cli_files.cpp made. Without a browser it is skipped.
"""
import base64
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from chromium import Chromium, skip_without

skip_without()
GAZE, SOURCE, FILES = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
READY = "document.documentElement.dataset.ready === '1'"
CASES = []


def case(function):
    CASES.append(function)
    return function


def expect(holds, *what):
    if not holds:
        raise AssertionError(" ".join(str(each) for each in what))


def gaze(*arguments, **environment):
    done = subprocess.run([str(GAZE), *map(str, arguments)], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})
    expect(done.returncode == 0, done.stderr)
    return done.stdout


def bundle_of(folder: Path, prompt: str) -> Path:
    """The same in every run: of several the first by its request's id, for folders are named by chance."""
    found = {}
    for path in folder.glob("*/request.json"):
        request = json.loads(path.read_text())
        if request["prompt"] == prompt:
            found[request["request_id"]] = path.parent
    expect(found, f"no bundle for {prompt}")
    return found[min(found)]


def opened(browser, page: Path, width=1440, height=900, dark=False):
    browser.window(width, height, dark)
    browser.navigate(page)
    browser.wait_until(READY)
    expect(browser.errors == [] and browser.left == [], browser.errors, browser.left)


def rewritten(page: Path, to: Path, change) -> Path:
    """The page with other data; `change` gets it."""
    text = page.read_text()
    begin = text.index('type="application/json">') + len('type="application/json">')
    end = text.index("</script>", begin)
    data = json.loads(text[begin:end])
    change(data)
    to.write_text(text[:begin] + json.dumps(data).replace("<", "\\u003c") + text[end:])
    return to


def pixels(browser) -> bytes:
    """RGBA of the first canvas."""
    script = ("(() => { const c = document.querySelector('canvas.picture'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
              "let s = ''; for (let i = 0; i < d.length; i += 32768) s += String.fromCharCode(...d.subarray(i, i + 32768)); return btoa(s); })()")
    return base64.b64decode(browser.evaluate(script))


def compared(browser, picture: Path) -> dict:
    """The first canvas beside a picture file: mean difference of a channel, share of pixels that are far off."""
    browser.evaluate("window.theirs = null; (() => { const image = new Image(); image.onload = () => { const c = document.createElement('canvas');"
                         "c.width = image.naturalWidth; c.height = image.naturalHeight; const x = c.getContext('2d'); x.drawImage(image, 0, 0);"
                         "const a = x.getImageData(0, 0, c.width, c.height).data, own = document.querySelector('canvas.picture');"
                         "const b = own.getContext('2d').getImageData(0, 0, own.width, own.height).data; let sum = 0, far = 0;"
                         "for (let i = 0; i < a.length; i += 4) { let d = 0; for (let k = 0; k < 3; ++k) d += Math.abs(a[i + k] - b[i + k]) / 3; sum += d; far += d > 24; }"
                         "window.theirs = { mean: sum / (a.length / 4), far: far / (a.length / 4), same: a.length === b.length }; };"
                         f"image.src = 'data:image/jpeg;base64,{base64.b64encode(picture.read_bytes()).decode()}'; }})()")
    browser.wait_until("window.theirs !== null")
    return browser.evaluate("window.theirs")


@case
def words_change_the_overlay_as_the_pictures_show(browser, demo, scratch):
    """Each word's canvas is near the JPEG that Gaze itself drew: two ways to the same picture."""
    bundle = bundle_of(demo, "describe the stickers :")
    request = json.loads((bundle / "request.json").read_text())
    expect(len(request["words"]) >= 4, request["words"])
    opened(browser, bundle / "report.html")
    seen = set()
    for i, facts in enumerate([request["summary"], *request["words"]]):
        browser.evaluate(f"document.querySelectorAll('#words button')[{i}].click()")
        drawn = pixels(browser)
        seen.add(drawn)
        theirs = compared(browser, bundle / facts["file"])
        # JPEG, and the contour, which the page leaves to its own style.
        expect(theirs["same"] and theirs["mean"] < 3 and theirs["far"] < 0.05, facts["file"], theirs)
    expect(len(seen) == len(request["words"]) + 1, "every word has a picture of its own")


@case
def keys_move_through_the_words(browser, demo, scratch):
    bundle = bundle_of(demo, "describe the stickers :")
    words = json.loads((bundle / "request.json").read_text())["words"]
    opened(browser, bundle / "report.html")
    pressed = "[...document.querySelectorAll('#words button')].findIndex(b => b.getAttribute('aria-pressed') === 'true')"
    browser.evaluate("document.querySelector('#words button').focus()")
    for key, now in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", len(words)), ("ArrowRight", 0), ("ArrowLeft", len(words)), ("Home", 0)):
        browser.key(key)
        expect(browser.evaluate(pressed) == now, key, now, browser.evaluate(pressed))
        expect(browser.evaluate(f"document.activeElement === document.querySelectorAll('#words button')[{now}]"), "the focus follows", key)
    expect(browser.evaluate("document.querySelectorAll('#words button[tabindex=\"0\"]').length") == 1, "one stop of the tabulator")
    browser.key("ArrowRight")
    label = browser.evaluate("document.querySelector('canvas.picture').getAttribute('aria-label')")
    expect(words[0]["text"] in label, label)


@case
def styles_differ_and_opacity_zero_is_the_ground(browser, demo, scratch):
    opened(browser, bundle_of(demo, "describe the stickers :") / "report.html")
    drawn = {}
    for style in ("grey", "colour", "spot", "outline"):
        browser.evaluate(f"(() => {{ const s = document.getElementById('style'); s.value = '{style}'; s.dispatchEvent(new Event('input')); }})()")
        drawn[style] = pixels(browser)
    expect(len(set(drawn.values())) == 4, "four styles")
    for control, value in (("cells", "exact"), ("range", "own"), ("sinks", "raw")):
        browser.evaluate("(() => { const s = document.getElementById('style'); s.value = 'grey'; s.dispatchEvent(new Event('input')); })()")
        browser.evaluate("document.querySelectorAll('#words button')[1].click()")
        before = pixels(browser)
        browser.evaluate(f"(() => {{ const s = document.getElementById('{control}'); s.value = '{value}'; s.dispatchEvent(new Event('input')); }})()")
        expect(pixels(browser) != before, control)
    browser.evaluate("(() => { const s = document.getElementById('opacity'); s.value = 0; s.dispatchEvent(new Event('input')); })()")
    bare = pixels(browser)
    expect(all(bare[i] == bare[i + 1] == bare[i + 2] for i in range(0, 4000, 4)), "grey alone")


@case
def every_head_can_be_looked_at(browser, demo, scratch):
    gaze("demo", "--out", scratch / "detailed", GAZE_DETAIL="all")
    bundle = bundle_of(scratch / "detailed", "describe the stickers :")
    request = json.loads((bundle / "request.json").read_text())
    opened(browser, bundle / "report.html")
    whole = pixels(browser)
    expect(browser.evaluate("document.querySelectorAll('.heads button').length") == 0, "nothing before it is asked for")

    def scrub(layer):
        browser.evaluate(f"(() => {{ const s = document.querySelector('.detail input'); s.value = {layer}; s.dispatchEvent(new Event('input')); }})()")
    expect(browser.evaluate("document.querySelector('.detail input').max") == str(len(request["sites"])), "all sites")
    seen = {whole}
    for layer, site in enumerate(request["sites"], 1):
        scrub(layer)
        expect(browser.evaluate("document.querySelectorAll('.heads button').length") == 1 + site["heads"], "its heads and their mean")
        told = browser.evaluate("document.querySelector('.detail output').textContent").replace("\u200b", "")
        expect(f"layer {layer} of" in told and site["name"] in told, told)
        seen.add(pixels(browser))
        for head in range(site["heads"]):
            browser.evaluate(f"document.querySelectorAll('.heads button')[{head + 1}].click()")
            seen.add(pixels(browser))
    expect(len(seen) == 1 + sum(1 + site["heads"] for site in request["sites"]), "each has a picture of its own")
    # As Gaze draws the same head of the same word, but for the contour, four bits a cell and JPEG.
    # The sharpest: of a head that looks nowhere a range of its own shows how the bits are cut, and little else.
    word, site = 1, request["sites"][-1]["name"]
    peaks = browser.evaluate(f"(() => {{ const d = views[0].detail; return d.tiles.filter(t => t.head >= 0).map(t => d.peak(d.row(t.head, {word}))); }})()")
    head = peaks.index(max(peaks))
    gaze("draw", bundle, "--out", scratch / "drawn", "--site", site, "--head", head, "--raw", "--own-range", "--longest-side", "full" if max(request["picture"]["drawn"]) == max(request["picture"]["width"], request["picture"]["height"]) else str(max(request["picture"]["drawn"])))
    for control, value in (("sinks", "raw"), ("range", "own")):
        browser.evaluate(f"(() => {{ const s = document.getElementById('{control}'); s.value = '{value}'; s.dispatchEvent(new Event('input')); }})()")
    browser.evaluate(f"document.querySelectorAll('#words button')[{word}].click()")
    scrub(len(request["sites"]))
    browser.evaluate(f"document.querySelectorAll('.heads button')[{head + 1}].click()")
    theirs = compared(browser, scratch / "drawn" / json.loads((scratch / "drawn" / "request.json").read_text())["words"][word - 1]["file"])
    expect(theirs["same"] and theirs["mean"] < 4, theirs)
    scrub(0)
    for control, value in (("sinks", "off"), ("range", "all")):
        browser.evaluate(f"(() => {{ const s = document.getElementById('{control}'); s.value = '{value}'; s.dispatchEvent(new Event('input')); }})()")
    browser.evaluate("document.querySelectorAll('#words button')[0].click()")
    expect(pixels(browser) == whole, "all layers again")
    expect(browser.errors == [] and browser.left == [], browser.errors, browser.left)


@case
def sixty_words_of_384_heads_stay_below_12_MB(browser, demo, scratch):
    words, sites, heads, side = 60, 24, 16, 24

    def change(data):
        base = data["request"]["words"][0]
        data["request"]["words"] = [dict(base, text=f"word{i}") for i in range(words)]
        random = os.urandom(side * side * 8)
        rows = [{"most": 20.0, "bytes": base64.b64encode(random[i % 7 * side * side:][:side * side]).decode()} for i in range(words + 1)]
        rows_of_heads = sites * heads * (words + 1)
        data["maps"][0].update(rows=side, cols=side, shown=rows, lift=rows, detail={
            "sites": [{"name": f"decoder.layers.{i}.cross_attention", "heads": heads} for i in range(sites)],
            "most": base64.b64encode(struct.pack(f"<{rows_of_heads}f", *(1 + i % 31 for i in range(rows_of_heads)))).decode(),
            "roots": base64.b64encode(os.urandom(rows_of_heads * side * side // 2)).decode()})
    page = rewritten(bundle_of(demo, "describe the stickers :") / "report.html", scratch / "large.html", change)
    expect(page.stat().st_size < 12_000_000, page.stat().st_size)
    opened(browser, page)
    milliseconds = browser.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    browser.evaluate("(() => { const s = document.querySelector('.detail input'); s.value = 7; s.dispatchEvent(new Event('input')); })()")
    expect(browser.evaluate("document.querySelectorAll('.heads canvas').length") == heads + 1, "sixteen heads and their mean")
    seen = set()
    for head in range(heads):
        browser.evaluate(f"document.querySelectorAll('.heads button')[{head + 1}].click()")
        seen.add(pixels(browser))
    expect(len(seen) == heads and browser.errors == [], browser.errors)
    print(f"        {page.stat().st_size / 1e6:.1f} MB, complete after {milliseconds:.0f} ms", flush=True)


@case
def a_region_tells_its_words(browser, demo, scratch):
    bundle = bundle_of(demo, "describe the stickers :")
    words = json.loads((bundle / "request.json").read_text())["words"]
    width = json.loads((bundle / "request.json").read_text())["picture"]["width"]
    opened(browser, bundle / "report.html")
    box = browser.evaluate("(() => { const r = document.querySelector('canvas.picture').getBoundingClientRect(); return [r.x, r.y, r.width]; })()")
    word = max(words, key=lambda each: each["max_lift"])
    x, y = (box[i] + word["hot_point"][i] * box[2] / width for i in (0, 1))
    for kind, dx, dy in (("mousePressed", -45, -45), ("mouseMoved", 0, 0), ("mouseMoved", 45, 45), ("mouseReleased", 45, 45)):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x + dx, y=y + dy, button="left", buttons=1, clickCount=1)
    told = browser.evaluate("document.querySelector('.pick').textContent")
    expect(told.startswith("Looked there: ") and word["text"] in told, told, word["text"])
    share = {text: int(percent) for text, percent in re.findall(r"(\S+) (\d+) %", told)}
    expect(list(share.values()) == sorted(share.values(), reverse=True) and share[word["text"]] >= 30, told)


@case
def hostile_texts_stay_texts(browser, demo, scratch):
    evil = '</script><script>window.hurt = 1</script><img src=x onerror="window.hurt = 1"> " \' & \u202eabc \U0001f436 \u0645\u0631\u062d\u0628\u0627'

    def change(data):
        request = data["request"]
        for field in ("answer", "prompt", "request_id", "profile", "note", "host"):
            request[field] = evil
        request["attributes"] = {evil: evil}
        request["model"]["path"] = evil
        request["words"][0]["text"] = evil
        request["grounding"] = {"verdict": evil, "why": evil}
    page = rewritten(bundle_of(demo, "describe the stickers :") / "report.html", scratch / "evil.html", change)
    opened(browser, page)
    expect(browser.evaluate("window.hurt") is None, "a text ran")
    expect(browser.evaluate("document.getElementById('answer').textContent") == evil, "the answer")
    expect(browser.evaluate("document.images.length") == 0 and browser.evaluate("document.scripts.length") == 2, "a text became an element")
    policy = browser.evaluate("document.querySelector('meta[http-equiv]').content")
    expect("default-src 'none'" in policy and "http" not in policy, policy)


@case
def no_page_holds_a_tag_in_its_data(browser, demo, scratch):
    for page in demo.glob("*/report.html"):
        text = page.read_text()
        begin = text.index('type="application/json">') + len('type="application/json">')
        expect("<" not in text[begin:text.index("</script>", begin)], page)


@case
def no_words_one_word_and_two_thousand(browser, demo, scratch):
    source = bundle_of(demo, "describe the stickers :") / "report.html"
    for count in (0, 1, 2000):
        def change(data):
            words, shown, lift = data["request"]["words"], data["maps"][0]["shown"], data["maps"][0]["lift"]
            data["request"]["words"] = [dict(words[i % len(words)], text=f"w{i}") for i in range(count)]
            data["maps"][0]["shown"] = [shown[0]] + [shown[1 + i % (len(shown) - 1)] for i in range(count)]
            data["maps"][0]["lift"] = [lift[0]] + [lift[1 + i % (len(lift) - 1)] for i in range(count)]
        opened(browser, rewritten(source, scratch / f"words{count}.html", change))
        expect(browser.evaluate("document.querySelectorAll('#words button').length") == count + 1, count)
        browser.evaluate("document.querySelector('#words button:last-child').click()")
        expect(browser.errors == [], browser.errors)


def text_page(scratch: Path) -> Path:
    """The stickers model, its picture and its prompt."""
    model = SOURCE / "samples/models/stickers"
    words = json.loads((model / "vocab.json").read_text())["words"]
    profile = json.loads((model / "profile.json").read_text())
    profile["tokens"]["vocabulary"] = str(model / profile["tokens"]["vocabulary"])
    profile["text"] = {"sites": ["decoder.layers.*.self_attn"]}
    (scratch / "text.profile.json").write_text(json.dumps(profile))
    ids = [words.index(word) for word in "<bos> describe the stickers :".split()]
    (scratch / "text.json").write_text(json.dumps({"ids": ids, "sources": [{"kind": "user", "id": "</script><b>task</b>", "tokens": [1, 3]}]}))
    gaze("run", model / "stickers_sdpa.pt", "--generate", "encode,decode_step", "--bos", ",".join(map(str, ids)), "--max", "11", "--inputs", FILES / "encode.pt", "--text",
         scratch / "text.json", "--profile", scratch / "text.profile.json", "--out", scratch / "texts")
    return next((scratch / "texts").glob("*/report.html"))


@case
def a_text_is_tinted_word_by_word(browser, demo, scratch):
    page = text_page(scratch)
    opened(browser, page)
    read = json.loads((page.parent / "text-2/sources.json").read_text())
    bars = "[...document.querySelectorAll('.bars > span')].map(share => share.textContent)"
    for word in range(1 + len(read["words"])):
        browser.evaluate(f"choose({word}, false)")
        masses = [source["mass"] for source in read["sources"]] if word == 0 else read["words"][word - 1]["mass"]
        expect(browser.evaluate(bars) == [f"{100 * mass:.{1 if mass < .0995 else 0}f} %" for mass in masses], word, browser.evaluate(bars), masses)
    expect(browser.evaluate("document.querySelector('.text h3').textContent") == "user </script><b>task</b>", "an id stays text")
    tinted = "[...document.querySelectorAll('.text b')].filter(word => word.style.background).length"
    # A word that looked somewhere has tinted words, and with the range its own the strongest is as strong as can be.
    strongest = max(range(len(read["words"])), key=lambda w: max((looked["words"][0]["lift"] for looked in read["words"][w]["looked_at"] if looked["words"]), default=0)) + 1
    browser.evaluate(f"choose({strongest}, false)")
    expect(browser.evaluate(tinted) > 0, "nothing is tinted")
    browser.evaluate("document.getElementById('opacity').value = 0; document.getElementById('opacity').dispatchEvent(new Event('input'))")
    expect(browser.evaluate(tinted) == 0, "opacity 0 leaves a tint")
    browser.evaluate("document.querySelector('.text b').dispatchEvent(new Event('pointerenter'))")
    expect("“" in browser.evaluate("document.querySelectorAll('.pick')[1].textContent"), "pointing at a word says nothing")
    expect(browser.evaluate("document.querySelectorAll('.matrix canvas').length") == 1, "no matrix")
    expect(browser.errors == [] and browser.left == [], browser.errors, browser.left)


@case
def a_refusal_says_why(browser, demo, scratch):
    def change(data):
        data["request"].update(error={"reason": "decode_failed", "message": "picture: expected a JPEG <b>"}, words=[], summary=None, answer="")
        data["maps"] = []
    opened(browser, rewritten(bundle_of(demo, "describe the stickers :") / "report.html", scratch / "refused.html", change))
    expect("expected a JPEG <b>" in browser.evaluate("document.getElementById('error').textContent"), "the reason")
    expect(browser.evaluate("document.getElementById('controls').hidden"), "nothing to control")


@case
def it_fits_small_dark_and_printed(browser, demo, scratch):
    page = bundle_of(demo, "describe the stickers :") / "report.html"
    for width, dark in ((390, False), (390, True), (1440, True), (1440, False)):
        opened(browser, page, width, 844, dark)
        expect(browser.evaluate("document.documentElement.scrollWidth") <= width, "wider than the window", width)
        paper = [int(each) for each in re.findall(r"\d+", browser.evaluate("getComputedStyle(document.body).backgroundColor"))]
        expect((max(paper) < 60) == dark, paper, dark)
    browser.pdf(scratch / "page.pdf")
    expect((scratch / "page.pdf").read_bytes().startswith(b"%PDF"), "printed")


@case
def a_sound_is_played_and_its_words_are_found(browser, demo, scratch):
    gaze("demo", "--speech", "--audio", SOURCE / "samples/data/speech/demo/long.ogg", "--out", scratch / "speech")
    (bundle,) = (page.parent for page in (scratch / "speech").glob("*/report.html"))
    request = json.loads((bundle / "request.json").read_text())
    opened(browser, bundle / "report.html")
    browser.wait_until("document.querySelector('audio').readyState >= 1 || document.querySelector('audio').error")
    expect(abs(browser.evaluate("document.querySelector('audio').duration") - request["sound"]["seconds"]) < 0.1, "all of it can be heard")
    word = request["words"][4]
    seconds = (word["start"] + word["end"]) / 2
    x = browser.evaluate(f"(() => {{ const c = document.querySelector('canvas.sound'), r = c.getBoundingClientRect(); return r.x + r.width * {seconds / request['sound']['seconds']}; }})()")
    y = browser.evaluate("(() => { const r = document.querySelector('canvas.sound').getBoundingClientRect(); return r.y + r.height / 2; })()")
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    expect(word["text"] in browser.evaluate("document.querySelector('.pick').textContent"), word)
    expect(browser.evaluate("document.querySelectorAll('#words button')[5].getAttribute('aria-pressed')") == "true", "the word is chosen")
    expect(browser.errors == [] and browser.left == [], browser.errors, browser.left)


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo"
        gaze("demo", "--out", demo)
        with Chromium() as browser:
            for number, function in enumerate(CASES):
                scratch = Path(folder) / str(number)
                scratch.mkdir()
                try:
                    function(browser, demo, scratch)
                    print(f"passed  {function.__name__}", flush=True)
                except Exception as problem:  # the others are tried all the same
                    failed += 1
                    print(f"FAILED  {function.__name__}: {type(problem).__name__}: {problem}", flush=True)
    print(f"gaze-cases: {len(CASES) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


main()
