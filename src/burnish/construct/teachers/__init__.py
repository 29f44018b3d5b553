"""Teachers: models behind an OpenAI-compatible endpoint that are asked, paid, cached and checked.

for reply in ask(teacher, questions, context=context, name="questions", read=read): ...
"""

from burnish.construct.teachers.asking import Asking as Asking
from burnish.construct.teachers.asking import ask as ask
from burnish.construct.teachers.endpoint import OpenAI as OpenAI
from burnish.construct.teachers.family import TEACHERS as TEACHERS
from burnish.construct.teachers.family import teacher_problems as teacher_problems
from burnish.construct.teachers.questions import Question as Question
from burnish.construct.teachers.questions import Reply as Reply
