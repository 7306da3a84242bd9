"""`clearhead` with the tiny question of these tests on its menu: `python tiny.py ask 90`."""

from __future__ import annotations

from pathlib import Path

from clearhead import questions
from clearhead.cli import main
from clearhead.questions import menu

FOLDER = Path(__file__).parent / "questions"

if __name__ == "__main__":
    menu.FOLDER = FOLDER
    questions.__path__.append(str(FOLDER))
    main()
