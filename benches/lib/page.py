"""Pages of the documentation with parts that a script writes: `<!-- KEY: begin -->` ... `<!-- KEY: end -->`."""

from lib import tools


def markers(key):
    """Returns what stands around a part."""
    return f"<!-- {key}: begin -->", f"<!-- {key}: end -->"


def put(page, key, text):
    """Returns the page with another text between the markers of a part."""
    begin, end = markers(key)
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise tools.Failed(f"needs the markers {begin} and {end}, once each")
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{text}\n{end}{rest.split(end)[1]}"


def write(path, parts):
    """Puts texts into a page by their keys; when one has no place, none is written."""
    page = path.read_text(encoding="utf-8")
    for key, text in parts.items():
        try:
            page = put(page, key, text)
        except tools.Failed as failure:
            raise tools.Failed(f"{path.name}: {failure}") from failure
    path.write_text(page, encoding="utf-8")


def table(head, rows, words=("",)):
    """Returns a Markdown table; columns of these titles hold words, all others figures, to the right."""
    lines = [head, ["---" if title in words else "---:" for title in head], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
