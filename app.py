import streamlit as st

from ui import identity
from ui.decision_route import route
from ui.gate.door import door
from ui.lifespan import ROUTER, lifespan

app = st.App(ROUTER, lifespan=lifespan, middleware=door(), routes=[route(identity.name_of)])
