"""The steps of ``vlprompt demo`` and the page that shows what they made."""
