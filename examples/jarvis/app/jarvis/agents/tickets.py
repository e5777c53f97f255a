# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tickets-agent (8080): IT operations. Answers from a fixed list of tickets; SLA figures are computed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jarvis.agents.a2a import Agent, Answer, Skill, Table, agent_app, says

SLA_HOURS = {"critical": 4, "high": 8, "medium": 24, "low": 72}


@dataclass(frozen=True)
class Ticket:
    id: str
    title: str
    priority: str
    status: str
    owner: str
    age_h: float

    @property
    def left_h(self) -> float:
        """Hours until the SLA is broken; negative after."""
        return SLA_HOURS[self.priority] - self.age_h


TICKETS = (
    Ticket("INC-1042", "VPN drops every ten minutes, Berlin office", "critical", "in progress", "Amara", 3.1),
    Ticket("INC-1043", "Payroll export stuck in queue", "high", "open", "unassigned", 6.5),
    Ticket("INC-1038", "Laptop does not wake after update", "medium", "in progress", "Jonas", 26.0),
    Ticket("INC-1045", "Shared printer prints blank pages", "low", "open", "Mei", 11.0),
    Ticket("INC-1046", "Two-factor reset for a new phone", "high", "open", "Amara", 1.2),
    Ticket("INC-1029", "Mailbox quota raised", "medium", "resolved", "Mei", 19.0),
    Ticket("INC-1031", "Wi-Fi certificate renewed", "high", "resolved", "Jonas", 5.0),
)
OPEN = tuple(sorted((t for t in TICKETS if t.status != "resolved"), key=lambda t: t.left_h))


def duration(hours: float) -> str:
    minutes = round(abs(hours) * 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def due(ticket: Ticket) -> str:
    return f"overdue by {duration(ticket.left_h)}" if ticket.left_h < 0 else f"{duration(ticket.left_h)} left"


def listing(tickets: tuple[Ticket, ...]) -> Table:
    rows = [(t.id, t.title, t.priority, t.owner, due(t)) for t in tickets]
    return Table(("Ticket", "Title", "Priority", "Owner", "SLA"), rows)


def answer(question: str) -> Answer:
    """Answer a question about tickets."""
    wanted = re.search(r"\b(?:inc-?)?(\d{4})\b", question, re.IGNORECASE)
    if wanted:
        number = f"INC-{wanted.group(1)}"
        ticket = next((t for t in TICKETS if t.id == number), None)
        if ticket is None:
            return Answer(f"There is no ticket {number}. Known: {', '.join(t.id for t in TICKETS)}.")
        state = "It is resolved." if ticket.status == "resolved" else f"SLA: {due(ticket)}."
        return Answer(
            f"{ticket.id}: {ticket.title}.\nPriority {ticket.priority}, {ticket.status}, owner {ticket.owner},"
            f" opened {duration(ticket.age_h)} ago. {state}"
        )
    for priority in SLA_HOURS:
        if says(question, priority):
            chosen = tuple(t for t in OPEN if t.priority == priority)
            count = len(chosen)
            text = f"{count} open ticket{'s' * (count != 1)} with priority {priority} (SLA {SLA_HOURS[priority]} h)."
            return Answer(text, listing(chosen) if chosen else None)
    if says(question, "unassigned", "nobody", "no owner"):
        chosen = tuple(t for t in OPEN if t.owner == "unassigned")
        return Answer(f"{len(chosen)} open ticket has no owner yet.", listing(chosen))
    if says(question, "sla", "risk", "overdue", "late", "urgent", "first"):
        late = [t for t in OPEN if t.left_h < 0]
        soon = [t for t in OPEN if 0 <= t.left_h <= 2]
        text = f"{len(late)} ticket over its SLA, {len(soon)} within two hours of it. Start with {OPEN[0].id}."
        return Answer(text, listing(tuple(late + soon)))
    if says(question, "summary", "report", "how many", "overview"):
        rows = [(p, str(sum(t.priority == p for t in OPEN)), f"{hours} h") for p, hours in SLA_HOURS.items()]
        done = len(TICKETS) - len(OPEN)
        return Answer(f"{len(OPEN)} tickets open, {done} resolved today.", Table(("Priority", "Open", "SLA"), rows))
    if says(question, "open", "list", "ticket", "incident", "show", "all"):
        return Answer(f"{len(OPEN)} open tickets, the closest to its SLA first.", listing(OPEN))
    return Answer("I look after IT tickets. Ask me for: " + "; ".join(EXAMPLES) + ".")


EXAMPLES = ("Show open tickets", "Which tickets are at SLA risk?", "What about INC-1042?", "Give me a summary")
AGENT = Agent(
    "tickets",
    "Tickets Agent",
    "IT operations: open incidents, owners and SLA risk. Rule-based answers over demonstration data.",
    (Skill("tickets", "IT tickets", "Find tickets and judge their SLA.", EXAMPLES, ("it", "incidents", "sla")),),
    answer,
)


def create_app(settings):
    """The ASGI app of tickets-agent."""
    return agent_app(AGENT, settings)
