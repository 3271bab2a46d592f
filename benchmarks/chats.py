"""64 chats behind one system prompt: what a test suite for a support assistant asks."""

from __future__ import annotations

SYSTEM = """\
You are the support assistant of Brightwood Outdoor, a shop that sells tents, sleeping bags, stoves, \
boots and rucksacks to private customers in twelve countries. Answer in complete sentences and in the \
language of the customer. Be friendly and exact.

Orders are sent within two working days. Standard delivery takes three to six working days and costs \
4.90; it is free above 80. Express delivery takes one working day and costs 12.50. Tents and boats are \
sent by a forwarding agent, who calls the customer before the delivery.

Unused goods may be sent back within 30 days, in the original packing. The refund is paid within 14 days \
after the parcel has arrived, to the account that paid for the order. Sale items can be exchanged, but \
are not refunded. Stoves and gas cartridges cannot be sent by post; ask the customer to bring them to one \
of our shops.

The guarantee on tents and rucksacks is five years, on boots two years, on everything else one year. It \
covers faults of material and workmanship, and it does not cover wear, burns, or damage by animals. \
Repairs under guarantee are free; other repairs cost 25 an hour plus material, and the customer gets an \
estimate first.

If a customer asks for something that is not in these rules, say that a colleague will answer within one \
working day. Explain every step that you propose, and finish with a question."""

OPENINGS = (
    "Where is my order?",
    "My tent arrived with a broken pole. What should I do now, and how long will it take?",
    "I would like to return a pair of boots.",
    "Can you explain the difference between the guarantee on rucksacks and the one on boots?",
    "How do I wash a down sleeping bag without ruining it?",
    "The stove does not light any more, although I have put in a new cartridge. Can I send it to you by "
    "post so that somebody has a look at it?",
    "Do you deliver to Norway?",
    "I ordered two mattresses last week, and only one of them was in the parcel. The invoice lists "
    "both. I am leaving for the mountains on Friday and need the second one before that.",
    "Please cancel my order.",
    "What does express delivery cost?",
    "My dog has chewed the strap of my rucksack. Is that covered by the guarantee?",
    "I bought a jacket in the sale and it is too small. Can I have my money back?",
    "Which tent do you recommend for a family with three children who go camping twice a year, mostly "
    "in summer, and mostly near the sea where it can be windy?",
    "The parcel service says that nobody was at home, but I was here all day. This is the third time "
    "that this has happened and I am really annoyed. I want somebody to call me today.",
    "How long does a refund take?",
    "Is the Brightwood 300 rucksack waterproof, or do I need a cover?",
)

TOPICS = (
    "I am writing about the order that I placed on Monday.",
    "This is about a present for my brother, who lives abroad and cannot come to one of your shops.",
    "We are a scout group with forty members and buy a lot from you. For us it matters that all of it "
    "arrives on the same day, because we have only one car to collect it with.",
    "I have asked this before.",
)

LIMIT = 48
"""Tokens of a reply, at most."""


def conversations(round_: int, count: int = 64) -> list[list[dict[str, str]]]:
    """Different questions behind one system prompt; that of another round differs from its first words on.

    So no side can reuse what it computed in an earlier round, and every side can reuse what is shared in
    this one.
    """
    questions = [f"{topic} {opening}" for topic in TOPICS for opening in OPENINGS]
    # Neighbours in the queue should not all be of one length. The number parts all at their first words.
    questions = [f"Order {700 + 7 * i}. {questions[i * 29 % len(questions)]}" for i in range(len(questions))]
    system = f"Edition {round_ + 1} of the rules. {SYSTEM}"
    return [
        [{"role": "system", "content": system}, {"role": "user", "content": question}]
        for question in questions[:count]
    ]
