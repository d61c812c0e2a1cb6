import streamlit as st

from ui.lifespan import ROUTER, lifespan

app = st.App(ROUTER, lifespan=lifespan)
