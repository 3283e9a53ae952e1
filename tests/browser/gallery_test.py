"""The pages of gaze report and gaze diff in a browser: what they show, hide, and never run.

Usage: gallery_test.py --gaze PROGRAM. Skips with a reason where there is no browser.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from chromium import Chromium, skip_without

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "package"))
import made_bundles as made

GAZE = Path()
LOADED = "document.body.dataset.loaded === 'yes'"
SHOWN = "[...document.querySelectorAll('#list .row')].map(row => shown[Number(row.dataset.row)])"


def expect(condition: bool, *what) -> None:
    if not condition:
        sys.exit("expected otherwise: " + " | ".join(map(str, what)))


def gaze(*words) -> None:
    done = subprocess.run([GAZE, *words], capture_output=True, text=True)
    expect(done.returncode == 0, words, done.stderr)


def opened(browser: Chromium, page: str, width: int = 1440) -> None:
    browser.window(width, 900)
    browser.navigate(page)
    browser.wait_until(LOADED)


def quiet(browser: Chromium) -> None:
    expect(browser.errors == [] and browser.left == [], browser.errors, browser.left)


def count(browser: Chromium) -> str:
    return browser.evaluate("document.getElementById('count').textContent")


def texts_stay_texts(browser: Chromium) -> None:
    for number, text in enumerate(made.HOSTILE):
        changed = made.request(request_id=text, prompt=text, answer=text, profile=text, words=[made.word(text, flags=[text])], drops={text: 1},
                               grounding={"verdict": text, "score": 0.1, "why": text})
        made.write(Path("hostile", made.name_of(number)), changed)
        made.write(Path("other", made.name_of(number)), made.request(text + " more", request_id=text, words=[made.word(text + " more", flags=[text])]))
    made.write(Path("hostile", made.SCRIPT.replace("/", "") + "#?%"), b"{")
    gaze("report", "hostile")
    opened(browser, "hostile/index.html")
    title = browser.evaluate("document.title")
    rows = browser.evaluate(SHOWN + ".map(row => row.unreadable ? null : row.answer)")
    expect(sorted(filter(None, rows)) == sorted(made.HOSTILE) and rows.count(None) == 1, "every text whole", rows)
    for _ in rows:
        browser.key("j")
        browser.key("Enter")
    expect(browser.evaluate("[...document.querySelectorAll('#list, #list *')].every(e => !['SCRIPT', 'STYLE'].includes(e.tagName))"), "no element of a text's making")
    expect(browser.evaluate("document.title") == title, "no text ran")
    quiet(browser)
    gaze("report", "hostile", "other", "--out", "two.html")
    opened(browser, "two.html")
    expect(count(browser) == f"{len(made.HOSTILE)} pairs", count(browser))
    expect(not browser.evaluate("[...document.getElementById('flag').options].some(option => option.value === 'only in one directory')"), "all have fellows")
    browser.key("j")
    browser.key("Enter")
    gaze("diff", Path("hostile", made.name_of(0)), Path("other", made.name_of(0)), "--out", "hostile.html")
    opened(browser, "hostile.html")
    expect(made.SCRIPT in browser.evaluate("document.body.innerText"), "a script is shown as it is written")
    expect(browser.evaluate("document.title") == "Gaze: what changed", "no text ran")
    quiet(browser)


def a_policy_keeps_scripts_out(browser: Chromium) -> None:
    opened(browser, "hostile/index.html")
    browser.evaluate("{ const script = document.createElement('script'); script.textContent = 'window.ran = 1'; document.body.append(script);"
                     "const image = new Image(); image.setAttribute('onerror', 'window.ran = 2'); image.src = 'nothing.png'; document.body.append(image);"
                     "new Promise(done => image.addEventListener('error', done)) }")
    expect(browser.evaluate("window.ran === undefined"), "what was put in later ran")
    browser.evaluate("fetch('http://host.example/').catch(() => 0)")
    expect(browser.left == [] and any("Content Security Policy" in error for error in browser.errors), browser.errors, browser.left)


def ten_thousand_answers(browser: Chromium) -> None:
    verdicts = ("not grounded", "weak", "cannot say", "grounded")
    for number in range(10000):
        made.write(Path("many", made.name_of(number)), made.request(f"answer {number}", request_id=f"id{number}", model={"path": f"m{number % 3}.pt"},
                   grounding={"verdict": verdicts[number % 4], "score": number / 10000, "why": ""}, drops={"queue_bytes": 1} if number % 5 == 0 else {}), picture=number % 100 == 0)
    gaze("report", "many")
    opened(browser, "many/index.html")
    expect(count(browser) == "10,000 answers", count(browser))
    expect(browser.evaluate(SHOWN + ".slice(0, 3).map(row => row.answer)") == ["answer 0", "answer 4", "answer 8"], "the worst first")
    most = 60
    in_page = "document.querySelectorAll('#list > li').length"
    expect(0 < browser.evaluate(in_page) < most, browser.evaluate(in_page))
    browser.key("End")
    expect(browser.evaluate("document.activeElement.textContent").find("answer 9999") >= 0, "the best grounded is last")
    expect(browser.evaluate(in_page) < most and browser.evaluate("document.activeElement.parentNode.getAttribute('aria-posinset')") == "10000", "rows out of sight are not in the page")
    for part in (0.2, 0.5, 0.9):
        at = browser.evaluate(f"(scroll => {{ scroll.scrollTop = {part} * scroll.scrollHeight; return scroll.scrollTop; }})(document.getElementById('scroll'))")
        browser.wait_until(f"document.querySelectorAll('#list .row').length > 0 && [...document.querySelectorAll('#list .row')].some(row => Math.abs(Number(row.dataset.row) * 92 - {at}) < 92)")
        expect(browser.evaluate(in_page) < most, part, browser.evaluate(in_page))
    browser.key("/")
    browser.type("ANSWER 77")
    found = sum("77" in f"{number} {made.name_of(number)}" for number in range(10000))
    expect(count(browser) == f"{found} of 10,000 answers", found, count(browser))
    browser.key("Escape")
    for choice, wanted in (("verdict', 'weak'", 2500), ("model', 'm1.pt'", 3333), ("drop', 'queue_bytes'", 2000), ("figure', 'score'", 10000), ("least', '0.9'", 1000), ("from', '2027-01-01'", 0), ("word', '77'", sum("77" in str(number) for number in range(10000)))):
        browser.evaluate(f"((id, value) => {{ const input = document.getElementById(id); input.value = value; input.dispatchEvent(new Event('input')); }})('{choice})")
        if choice.startswith("figure"):
            continue
        expect(count(browser).startswith(f"{wanted:,}") if wanted else count(browser).startswith("0 of"), choice, count(browser))
        if choice.startswith("least"):
            browser.evaluate("document.getElementById('figure').value = 'score'")
        browser.evaluate("(figure => { document.getElementById('clear').click(); document.getElementById('figure').value = figure; })(document.getElementById('figure').value)")
    expect(count(browser) == "10,000 answers", count(browser))
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(browser.evaluate(in_page) == 500 and "first 500 of 10000" in browser.evaluate("document.getElementById('notes').textContent"), "what is printed is bounded, and that is said")
    browser.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(browser.evaluate(in_page) < most, "as before")
    quiet(browser)
    Path("many/index-data/rows-0007.js").unlink()
    browser.navigate("many/index.html")
    browser.wait_until("!document.getElementById('notes').hidden")
    expect("rows-0007.js" in browser.evaluate("document.getElementById('notes').textContent") and browser.evaluate("rows.length") == 6000, "a script that is gone is told")


def keys_open_and_close(browser: Chromium) -> None:
    request = made.request("a red seven")
    made.write(Path("keys", made.name_of(3)), request | {"request_id": "page"}, report=made.report(request))
    made.write(Path("keys", made.name_of(2)), request | {"request_id": "no page"})
    made.write(Path("keys", made.name_of(1)), request | {"request_id": "refused", "error": {"reason": "grid_mismatch", "message": "60 keys"}, "summary": None, "words": []}, picture=False)
    gaze("report", "keys")
    opened(browser, "keys/index.html")
    focus = "document.activeElement.classList.contains('row') ? shown[Number(document.activeElement.dataset.row)].request_id : document.activeElement.id"
    browser.key("j")
    expect(browser.evaluate(focus) == "page", browser.evaluate(focus))
    browser.key("Enter")
    browser.wait_until("document.querySelector('iframe') !== null")
    expect(browser.evaluate("document.querySelector('iframe').getAttribute('sandbox')") == "allow-scripts", "a page within has no more than its scripts")
    expect(browser.evaluate("document.querySelector('.row[aria-expanded=true]') === document.activeElement"), "what is open is said")
    browser.key("Escape")
    expect(browser.evaluate("document.querySelector('iframe') === null && document.querySelector('[aria-expanded=true]') === null"), "closed")
    browser.key("ArrowDown")
    browser.key("Enter")
    expect(browser.evaluate("[...document.querySelectorAll('.open tbody tr')].map(row => row.cells[0].textContent)") == ["a", "red", "seven"], "figures where there is no page")
    browser.key("j")
    browser.key("Enter")
    expect("grid_mismatch: 60 keys" in browser.evaluate("document.querySelector('.open').innerText"), "why there is no picture")
    browser.key("k")
    expect(browser.evaluate(focus) == "no page", browser.evaluate(focus))
    browser.key("/")
    expect(browser.evaluate(focus) == "search", browser.evaluate(focus))
    browser.type("jjj")
    expect(count(browser) == "0 of 3 answers" and not browser.evaluate("document.getElementById('none').hidden"), count(browser))
    browser.key("Escape")
    expect(count(browser) == "3 answers", count(browser))
    expect(browser.evaluate("[...document.querySelectorAll('input, select')].every(input => input.labels.length === 1 && input.labels[0].textContent.trim() !== '')"), "every field has a name")
    expect(browser.evaluate("[...document.querySelectorAll('button')].every(button => button.textContent.trim() !== '') && [...document.images].every(image => image.hasAttribute('alt'))"), "and every button")
    quiet(browser)


def pages_fit_a_telephone(browser: Chromium) -> None:
    gaze("report", "hostile", "other", "--out", "two.html")
    for page in ("hostile/index.html", "two.html", "hostile.html", "moved.html"):
        opened(browser, page, width=390)
        for key in ("j", "Enter"):
            browser.key(key)
        wide = browser.evaluate("[document.documentElement.scrollWidth, document.querySelector('#scroll')?.scrollWidth ?? 0, innerWidth]")
        expect(wide[0] <= wide[2] and wide[1] <= wide[2], page, wide)
        quiet(browser)


def what_moved_is_drawn(browser: Chromium) -> None:
    # Six cells of a picture of 8 x 8: A looks at the first, B at the last.
    for folder, answer, cell in (("a", "red one", 0), ("b", "red two", 5)):
        made.write(Path(folder), made.request(answer), [[1, 0, 0, 0, 0, 0], [float(c == cell) for c in range(6)]])
    gaze("diff", "a", "b", "--out", "moved.html")
    opened(browser, "moved.html")
    browser.key("End")
    words = browser.evaluate("[...document.querySelectorAll('#words button')].map(button => button.querySelector('bdi').textContent + ' ' + button.querySelector('.moved').textContent)")
    expect(words == ["the whole answer 1.00", "red 0.00", "one → two 2.00"], words)
    for _ in range(2):
        browser.key("ArrowDown")
    expect("one → two: moved 2.00 of 2" in browser.evaluate("document.getElementById('picture').getAttribute('aria-label')"), "the chosen word is said")
    pixel = "(([x, y]) => { const c = document.getElementById('picture'); return [...c.getContext('2d').getImageData(x * (c.width - 1), y * (c.height - 1), 1, 1).data]; })"
    less, more, same = (browser.evaluate(pixel + f"([{x}, {y}])") for x, y in ((0, 0), (1, 1), (1, 0)))
    expect(less[2] > less[0] + 40, "blue where B looks less", less)
    expect(more[0] > more[2] + 40, "orange where B looks more", more)
    expect(max(same[:3]) - min(same[:3]) <= 2, "grey where nothing changed", same)
    quiet(browser)


def main() -> None:
    global GAZE
    parser = argparse.ArgumentParser()
    parser.add_argument("--gaze", type=Path, required=True)
    GAZE = parser.parse_args().gaze.resolve()
    skip_without()
    with tempfile.TemporaryDirectory() as folder, Chromium() as browser:
        os.chdir(folder)
        for case in (texts_stay_texts, a_policy_keeps_scripts_out, keys_open_and_close, what_moved_is_drawn, pages_fit_a_telephone, ten_thousand_answers):
            case(browser)
            print(case.__name__.replace("_", " "))
        os.chdir("/")


if __name__ == "__main__":
    main()
