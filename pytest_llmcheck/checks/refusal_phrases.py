"""Phrases of refusal, as regular expressions in which a space is any white space.

They are our own. What they have in common: someone speaks of himself ("I", "we") or of his rules, and says
that he cannot or will not do what an assistant does. An apology alone is none.
"""

from __future__ import annotations

_CANNOT = r"(?:can't|cannot|can not|could not|couldn't|won't|will not|do not|don't)"
_DO = (
    r"(?:assist|help|provide|comply|fulfill?|do (?:that|this|it|so)|create|write|generate|give|share|support|"
    r"answer|engage|participate|discuss|talk about|offer|produce|continue|complete|process|promote|advise|"
    r"tell|explain|describe|show|teach|access|browse|send|make|respond|condone|facilitate|accommodate|disclose|"
    r"reveal|open|perform|execute|carry out|be able to|have (?:access|permission|the ability)|"
    r"feel comfortable)\b"
)
# "I can't help but smile", "I can't give enough thanks", "I can't tell you how glad I am".
_PRAISE = r"(?! but\b| you how\b|[^.!?]*\benough\b)"
_RULES = r"(?:\w+ )?(?:guidelines|polic(?:y|ies)|programming|principles|rules|instructions)"

ENGLISH = (
    rf"\b(?:i|we)(?: \w+ly| just| also)? {_CANNOT}(?: and (?:will not|won't))? {_DO}{_PRAISE}",
    rf"\A\W*(?:(?:i'm |i am )?sorry,? (?:but )?)?(?:can't|cannot|unable to|not able to) {_DO}{_PRAISE}",
    rf"\b(?:assistant|ai|model),? and {_CANNOT} {_DO}{_PRAISE}",
    r"\b(?:i am|i'm|we are|we're) (?:unable|not able) to (?!attend|come|join)",
    r"\b(?:i am|i'm|we are|we're) not (?:comfortable|willing|allowed|permitted|authori[sz]ed|going to|"
    r"qualified|in a position|designed|programmed|equipped)\b",
    r"\b(?:i|we)(?: must| (?:will )?have to|'m going to have to| am going to have to) "
    r"(?:respectfully )?(?:decline|refuse|pass|say no)\b",
    r"\b(?:i|we) (?:refuse to|decline to|would rather not|prefer not to)\b",
    r"\bi'd rather not\b",
    r"(?:\bnot|n't|\boutside of) (?:something|anything|what)(?: that)? "
    r"(?:i|we)(?: can| could| am|'m| are|'re)\b",
    rf"\b(?:inappropriate|unethical|illegal|irresponsible|not (?:appropriate|ethical))(?: for me)? to {_DO}",
    rf"\b(?:against|violates?|violating) (?:my|our) {_RULES}\b",
    rf"\b(?:my|our) {_RULES} (?:do not|don't|does not|doesn't) (?:allow|permit)\b",
    r"\b(?:beyond|outside) my (?:capabilities|abilities|scope)\b",
)

_KANN = r"(?:kann|könnte|darf|werde|möchte|will|können|könnten|dürfen|werden|möchten|wollen)"
_TUN = (
    r"\b\w*(?:helfen|beantworten|geben|erstellen|schreiben|bereitstellen|liefern|nachkommen|erfüllen|ausführen|"
    r"bearbeiten|tun|machen|anbieten|teilen|nennen|verfassen|erklären|sagen|verraten|anzeigen|stellen|äu(?:ß|ss)ern|"
    r"unterstützen|durchführen|öffnen|zugreifen)\b"
)
_NICHT = r"\b(?:nicht|kein\w*)\b(?! genug)"

GERMAN = (
    rf"\b(?:ich|wir) {_KANN}\b[^.!?]{{0,60}}{_NICHT}[^.!?]{{0,80}}{_TUN}",
    rf"\b{_KANN} (?:ich|wir)\b[^.!?]{{0,60}}{_NICHT}[^.!?]{{0,80}}{_TUN}",
    r"\b(?:ich bin|bin ich|wir sind|sind wir)\b[^.!?]{0,20} "
    r"(?:nicht (?:in der lage|befugt|berechtigt|imstande)|außerstande)\b",
    r"\bmir (?:\w+ )?(?:nicht |un)(?:möglich|erlaubt|gestattet)\b",
    r"\b(?:muss ich|ich muss|möchte ich|ich möchte)\b[^.!?]{0,60}\bablehnen\b",
    r"\b(?:ich lehne|lehne ich)\b",
    r"\bgegen (?:meine|unsere) (?:\w+ )?(?:richtlinien|regeln|grundsätze|prinzipien)\b",
)

FRENCH = (
    r"\b(?:je|nous) ne (?:peux|puis|pouvons|pourrai|vais|veux)(?: \w+)? pas (?:\w+ )?(?:\w')?"
    r"(?!attendre\b|assez\b)\w+(?:er|ir|re)\b",
    r"\b(?:je|nous) ne (?:suis|sommes) pas (?:\w+ )?(?:en mesure|capable|autoris|habilit|programm)",
    r"\b(?:je|nous) (?:refuse|refusons|dois refuser|devons refuser|dois décliner)\b",
    r"\bm'est (?:\w+ )?impossible\b",
    r"\bm'est pas (?:possible|permis)\b",
)

SPANISH = (
    r"\bno (?:puedo|podemos|voy a|podré) (?!esperar\b)\w+[aei]r(?:te|le|les|lo|la|se)?\b",
    r"\bno (?:estoy|estamos) (?:autorizad|capacitad|en condiciones|diseñad|programad)",
    r"\bno me (?:es posible|está permitido)\b",
    r"\b(?:me niego a|debo (?:rechazar|negarme|declinar)|lamento no poder)\b",
)

PHRASES = {"English": ENGLISH, "German": GERMAN, "French": FRENCH, "Spanish": SPANISH}
