# Copyright: (c) 2026, Landfall contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""finops-agent (8081): cloud costs. Sums, shares, trend and forecast are computed from six fixed months."""

from __future__ import annotations

from jarvis.agents.a2a import Agent, Answer, Skill, Table, agent_app, says

MONTHS = ("May", "Jun", "Jul", "Aug", "Sep", "Oct")
COSTS = {  # US dollars a month
    "Compute": (4210, 4385, 4520, 4710, 4980, 5240),
    "Database": (1880, 1905, 1940, 1990, 2010, 2075),
    "Storage": (720, 765, 810, 870, 935, 1010),
    "Network": (540, 515, 560, 575, 610, 640),
    "Monitoring": (310, 310, 325, 325, 340, 340),
}
BUDGET = 9500
SAVINGS = (  # what, share of which service
    ("Reserve the steady half of compute for one year", "Compute", 0.5 * 0.30),
    ("Move snapshots older than 30 days to cold storage", "Storage", 0.42),
    ("Stop the staging database at night and on weekends", "Database", 0.12),
)


def totals() -> list[int]:
    return [sum(cost[month] for cost in COSTS.values()) for month in range(len(MONTHS))]


def forecast(values: list[int]) -> float:
    """The next value on the least-squares line through the values."""
    n = len(values)
    mean_x, mean_y = (n - 1) / 2, sum(values) / n
    slope = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(values)) / sum((x - mean_x) ** 2 for x in range(n))
    return mean_y + slope * (n - mean_x)


def dollars(value: float) -> str:
    return f"${value:,.0f}"


def change(new: float, old: float) -> str:
    return f"{(new - old) / old * 100:+.1f} %"


def answer(question: str) -> Answer:
    """Answer a question about cloud costs."""
    total = totals()
    for service, cost in COSTS.items():
        if says(question, service.lower()):
            rows = [(month, dollars(amount)) for month, amount in zip(MONTHS, cost, strict=True)]
            text = f"{service} cost {dollars(cost[-1])} in {MONTHS[-1]}, {change(cost[-1], cost[-2])} on {MONTHS[-2]}."
            return Answer(text, Table(("Month", service), rows))
    if says(question, "forecast", "next month", "predict", "budget"):
        ahead = forecast(total)
        side = "over" if ahead > BUDGET else "under"
        gap = dollars(abs(ahead - BUDGET))
        return Answer(f"Forecast for next month: {dollars(ahead)}, {gap} {side} the budget of {dollars(BUDGET)}.")
    if says(question, "sav", "optimi", "reduce", "cheaper", "cut"):
        rows = [(what, service, dollars(COSTS[service][-1] * share)) for what, service, share in SAVINGS]
        saved = sum(COSTS[service][-1] * share for _, service, share in SAVINGS)
        text = f"{dollars(saved)} a month can be saved, {saved / total[-1] * 100:.1f} % of the bill."
        return Answer(text, Table(("Step", "Service", "A month"), rows))
    if says(question, "trend", "months", "history", "grow"):
        rows = [
            (month, dollars(total[i]), change(total[i], total[i - 1]) if i else "–") for i, month in enumerate(MONTHS)
        ]
        text = f"The bill grew from {dollars(total[0])} to {dollars(total[-1])}: {change(total[-1], total[0])}."
        return Answer(text, Table(("Month", "Total", "Change"), rows))
    if says(question, "cost", "break", "spend", "bill", "total", "breakdown", "top", "expensive", "much"):
        ranked = sorted(COSTS.items(), key=lambda item: -item[1][-1])
        rows = [(s, dollars(c[-1]), f"{c[-1] / total[-1] * 100:.1f} %", change(c[-1], c[-2])) for s, c in ranked]
        text = f"{MONTHS[-1]} cost {dollars(total[-1])}, {change(total[-1], total[-2])} on {MONTHS[-2]}."
        return Answer(text, Table(("Service", "Cost", "Share", "Change"), rows))
    return Answer("I look after cloud costs. Ask me for: " + "; ".join(EXAMPLES) + ".")


EXAMPLES = ("Break down this month's cost", "Show the trend", "Forecast next month", "Where can we save?")
AGENT = Agent(
    "finops",
    "FinOps Agent",
    "Cloud cost analytics: breakdown, trend, forecast, savings. Rule-based answers over demonstration data.",
    (Skill("finops", "Cloud costs", "Break down, forecast and reduce the bill.", EXAMPLES, ("finops", "cost")),),
    answer,
)


def create_app(settings):
    """The ASGI app of finops-agent."""
    return agent_app(AGENT, settings)
