"""Teachers: models behind an OpenAI-compatible endpoint that are asked, paid, cached and checked (`asking.ask`)."""

from burnish.construct.teachers.asking import TEACHERS, Asking, OpenAI, Question, Reply, ask, teacher_problems

__all__ = ["TEACHERS", "Asking", "OpenAI", "Question", "Reply", "ask", "teacher_problems"]
