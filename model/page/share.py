"""Links that show their face in a chat, and the page that says how to put a face anywhere: HTML of our own."""

import html
import os
import re
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse

from .asked import Person, model_of, people, person, truncation_of
from .looks import why_not_sharp
from .models import ModelStore
from .studio import MAX_KEYS

HOST = r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?"
PREFIX = r"(/[\w.~-]{1,100}){1,8}"
NAME = "Anime faces"
STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color-scheme: light dark; } img { border-radius: 12px; } a { color: #c2255c; }
code { display: block; overflow-x: auto; padding: .5rem .8rem; margin: .4rem 0; border-radius: 8px; user-select: all;
  background: #8882; white-space: nowrap; } td, th { padding: .2rem .8rem .2rem 0;
  vertical-align: top; text-align: left; }
@media (prefers-color-scheme: dark) { a { color: #faa2c1; } }"""


def base_url(request: Request) -> str:
    """The address of the page as its visitors see it, without a slash at the end.

    GRADIO_ROOT_PATH says where a proxy mounts it; X-Forwarded-Host, -Proto and -Prefix are believed as far as they are
    such things, for what is answered here is for the very client that sent them and never kept.
    """

    def told(header: str, pattern: str) -> str:
        value = request.headers.get(header, "").split(",")[0].strip()
        return value if re.fullmatch(pattern, value, re.ASCII) else ""

    root = os.environ.get("GRADIO_ROOT_PATH", "").rstrip("/")
    if re.match("https?://", root):
        return root
    scheme = told("x-forwarded-proto", "https?") or request.url.scheme
    host = told("x-forwarded-host", HOST) or told("host", HOST) or "localhost"
    prefix = f"/{root.strip('/')}" if root else told("x-forwarded-prefix", PREFIX)
    return f"{scheme}://{host}{prefix}"


def best_style() -> str:
    """Sharp where it is to be had."""
    return "smooth" if why_not_sharp() else "sharp"


def share_page(request: Request, models: ModelStore, film: bool) -> HTMLResponse:
    """/s/alice or /s/film/1,2,3: Open Graph and Twitter tags with the face, and the way to it on the page.

    Raises:
        BadRequest: 404 for no such face or model, 400 for a truncation that is none.
    """
    words, query = request.path_params["words"], request.query_params
    model = query.get("model", "").strip()
    dim = model_of(models, model).generator.latent_dim
    keys = people(words, dim, 2, MAX_KEYS) if film else (person(words, dim),)
    chosen = {"truncation": f"{truncation_of(query['truncation']):g}"} if "truncation" in query else {}
    chosen |= {"model": model} if model else {}
    base, title = base_url(request), title_of(words, keys)
    first = words.strip() if len(keys) == 1 else str(keys[0])
    still = f"face/{quote(first, safe='')}.png?{urlencode({'size': 512, 'style': best_style()} | chosen)}"
    page = urlencode(on_the_page(words, keys, film) | chosen)
    more = f"?{urlencode(chosen)}" if chosen else ""
    tags = {
        "og:type": "website",
        "og:site_name": NAME,
        "og:title": title,
        "og:description": "Drawn by a small neural network; every name is a face.",
        "og:url": f"{base}/s/{'film/' if film else ''}{quote(words, safe=',')}{more}",
        "og:image": f"{base}/{still}",
        "og:image:type": "image/png",
        "og:image:width": "512",
        "og:image:height": "512",
        "og:image:alt": title,
        "twitter:card": "summary_large_image" if film else "summary",
        "twitter:title": title,
        "twitter:image": f"{base}/{still}",
    }
    if film:
        video = f"{base}/film/{quote(','.join(map(str, keys)), safe=',')}.mp4{more}"
        tags |= {"og:video": video, "og:video:type": "video/mp4", "og:video:width": "256", "og:video:height": "256"}
    return document(title, tags, page, "../../" if film else "../", still)


def title_of(words: str, keys: tuple[Person, ...]) -> str:
    """What a link shows: names as they were written."""
    if len(keys) > 1:
        return f"A film of {len(keys)} faces"
    if isinstance(keys[0], str):
        return "An explored face"
    name = words.strip()
    return f"Seed {keys[0]}" if name.isascii() and name.isdigit() else f"The face of {name}"


def on_the_page(words: str, keys: tuple[Person, ...], film: bool) -> dict[str, str]:
    """The query of the page's address that shows them: names as they were written, where no range is among them."""
    if film:
        names = [word.strip() for word in words.split(",")]
        return {"tab": "interpolation", "seeds": ", ".join(names if len(names) == len(keys) else map(str, keys))}
    return {"seed": words.strip()} if isinstance(keys[0], int) else {"tab": "explore", "start": keys[0]}


def document(title: str, tags: dict[str, str], query: str, up: str, picture: str) -> HTMLResponse:
    """The share page: for machines its tags, for people the way on. ``up`` leads from its address to the page's."""
    kinds = ["property" if key.startswith("og:") else "name" for key in tags]  # as Open Graph and Twitter have it
    metas = "\n".join(f'<meta {kind}="{key}" content="{html.escape(tags[key])}">' for kind, key in zip(kinds, tags))
    target = html.escape(f"{up}?{query}")
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)} · {NAME}</title>
{metas}
<meta http-equiv="refresh" content="0; url={target}">
<style>{STYLE}</style></head>
<body><p><a href="{target}">{html.escape(title)}</a></p>
<p><img src="{html.escape(up + picture)}" width="256" height="256" alt=""></p></body></html>
"""
    return HTMLResponse(text, headers={"Cache-Control": "no-cache"})


EXAMPLES = (
    ("A face for a name", "face/alice.png?size=256", "The face of alice"),
    ("A seed, redrawn sharp", "face/7.webp?size=256&style=sharp", "Seed 7"),
    ("One face from low truncation to high", "strip/7.png", "Seed 7 at seven truncations"),
    ("Sixteen faces", "grid/0-15.png", "Seeds 0 to 15"),
    ("A film", "film/1,2,3.webp?size=128", "From seed 1 over 2 to 3"),
)


async def help_page(request: Request) -> HTMLResponse:
    """/addresses: what there is, with lines to copy."""
    base = base_url(request)
    shown = []
    for title, address, alt in EXAMPLES:
        line = html.escape(f'<img src="{html.escape(f"{base}/{address}")}" alt="{alt}">')
        markdown = html.escape(f"![{alt}]({base}/{address})")
        shown.append(f"""<h2>{title}</h2><p><img src="{html.escape(address)}" alt="{alt}" loading="lazy"
style="max-width: 100%"></p><code>{line}</code><code>{markdown}</code>""")
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Addresses · {NAME}</title><style>{STYLE}</style></head><body>
<h1>A face at an address</h1>
<p>Every name and every number is a face, the same for ever. A click on a line selects it.
<a href=".">To the page</a></p>
{"".join(shown)}
<h2>What an address may say</h2>
<table><tr><th>path</th><th></th></tr>
<tr><td>/face/NAME.png</td><td>a seed, any text, or the code of an explored face; also .webp and .jpg</td></tr>
<tr><td>/strip/NAME.png</td><td>that face at seven truncations</td></tr>
<tr><td>/grid/0-15,alice.png</td><td>up to 64 faces</td></tr>
<tr><td>/film/1,2,3.mp4</td><td>from face to face, 2 to 8 of them; also .gif and .webp; frames=1 to 48 a leg,
loop=true or false</td></tr>
<tr><td>/s/NAME, /s/film/1,2,3</td><td>a link that shows the face where it is pasted and leads to it here</td></tr>
<tr><th>query</th><th></th></tr>
<tr><td>size</td><td>64, 128, 256 or 512 pixels for each face</td></tr>
<tr><td>style</td><td>smooth, crisp (every pixel a square) or sharp (redrawn)</td></tr>
<tr><td>truncation</td><td>0 (calm, or pale) to 1.5 (wild)</td></tr>
<tr><td>model</td><td>one that this page has loaded, or blend:0.5 between its first two</td></tr></table>
<p>Who asks for much in a short time gets status 429 and, in Retry-After, the seconds to wait.</p></body></html>
"""
    return HTMLResponse(text, headers={"Cache-Control": "no-cache"})
