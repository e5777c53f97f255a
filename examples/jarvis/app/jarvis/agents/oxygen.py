# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oxygen-agent (8082): learning and development. Progress, effort and plans are computed from a fixed catalogue."""

from __future__ import annotations

from dataclasses import dataclass

from jarvis.agents.a2a import Agent, Answer, Skill, Table, agent_app, says

HOURS_A_WEEK = 3


@dataclass(frozen=True)
class Course:
    title: str
    skill: str
    hours: int
    done: float  # share, 0 to 1
    due_days: int | None = None  # days until it must be finished

    @property
    def left_h(self) -> float:
        return self.hours * (1 - self.done)


COURSES = (
    Course("Security awareness 2026", "security", 2, 0.5, 6),
    Course("Kubernetes in practice", "cloud", 16, 0.25, 40),
    Course("Writing runbooks", "operations", 4, 1.0),
    Course("Python for data work", "python", 12, 0.0),
    Course("SQL performance", "data", 8, 0.0),
    Course("Threat modelling", "security", 6, 0.0),
    Course("Cost-aware architecture", "cloud", 5, 0.0),
    Course("Incident command", "operations", 7, 0.6, 21),
)
STARTED = tuple(c for c in COURSES if 0 < c.done < 1)


def weeks(hours: float) -> int:
    return -(-int(hours * 10) // (HOURS_A_WEEK * 10))


def answer(question: str) -> Answer:
    """Answer a question about courses."""
    for skill in dict.fromkeys(course.skill for course in COURSES):
        if says(question, skill):
            chosen = [c for c in COURSES if c.skill == skill]
            hours = sum(c.left_h for c in chosen)
            rows = [(c.title, f"{c.hours} h", f"{c.done:.0%}") for c in chosen]
            pace = f"about {weeks(hours)} weeks at {HOURS_A_WEEK} h a week"
            text = f"{len(chosen)} courses for {skill}; {hours:g} h left, {pace}."
            return Answer(text, Table(("Course", "Length", "Done"), rows))
    if says(question, "deadline", "due", "mandatory", "must", "when"):
        chosen = sorted((c for c in STARTED if c.due_days is not None), key=lambda c: c.due_days or 0)
        rows = [(c.title, f"in {c.due_days} days", f"{c.left_h:g} h") for c in chosen]
        need = chosen[0]
        text = (
            f"{len(chosen)} deadlines ahead. Next: {need.title}, {need.left_h:g} h left, due in {need.due_days} days."
        )
        return Answer(text, Table(("Course", "Due", "Left"), rows))
    if says(question, "plan", "week", "schedule"):
        rows, week, used = [], 1, 0.0
        for course in sorted(STARTED, key=lambda c: c.due_days or 999):
            used += course.left_h
            last = max(week, weeks(used))
            when = f"week {week}" if last == week else f"weeks {week}–{last}"
            rows.append((course.title, f"{course.left_h:g} h", when))
            week = last
        return Answer(
            f"At {HOURS_A_WEEK} h a week all {len(rows)} started courses are finished in {week} weeks.",
            Table(("Course", "Left", "When"), rows),
        )
    if says(question, "recommend", "next", "suggest", "learn", "course"):
        known = {c.skill for c in COURSES if c.done > 0}
        ranked = sorted((c for c in COURSES if c.done == 0), key=lambda c: (c.skill not in known, c.hours))
        rows = [(c.title, c.skill, f"{c.hours} h", "builds on yours" if c.skill in known else "new") for c in ranked]
        return Answer(f"I would take {ranked[0].title} next.", Table(("Course", "Skill", "Length", "Why"), rows))
    if says(question, "progress", "status", "how", "far", "my"):
        total, done = sum(c.hours for c in COURSES), sum(c.hours * c.done for c in COURSES)
        finished = sum(c.done == 1 for c in COURSES)
        rows = [(c.title, f"{c.done:.0%}", f"{c.left_h:g} h") for c in COURSES if c.done > 0]
        text = f"{done:g} of {total} h done ({done / total:.0%}); {finished} finished, {len(STARTED)} in progress."
        return Answer(text, Table(("Course", "Done", "Left"), rows))
    return Answer("I look after learning. Ask me for: " + "; ".join(EXAMPLES) + ".")


EXAMPLES = ("Show my progress", "Which deadlines are ahead?", "Recommend a course", "Plan my weeks")
AGENT = Agent(
    "oxygen",
    "Oxygen Agent",
    "Learning and development: progress, deadlines, plans. Rule-based answers over demonstration data.",
    (Skill("learning", "Learning", "Track courses and plan the next ones.", EXAMPLES, ("learning", "courses")),),
    answer,
)


def create_app(settings):
    """The ASGI app of oxygen-agent."""
    return agent_app(AGENT, settings)
