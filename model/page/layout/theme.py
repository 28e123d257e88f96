"""Colours and shapes of the page, in light and dark; what Gradio has no word for stands in style.css."""

import gradio as gr

ROSE, DEEP_ROSE, PINK = "#be185d", "#9d174d", "#f9a8d4"
COLOURS = {  # name: light, dark; text keeps a contrast of 4.5 or more
    "body_background_fill": ("#fff6f3", "#17111d"),
    "body_text_color": ("#2c1a2e", "#f7eff8"),
    "body_text_color_subdued": ("#5f4a5f", "#cdbcd0"),
    "block_info_text_color": ("#5f4a5f", "#cdbcd0"),
    "block_title_text_color": ("#2c1a2e", "#f7eff8"),
    "block_label_text_color": ("#5f4a5f", "#cdbcd0"),
    "block_background_fill": ("transparent", "transparent"),
    "background_fill_primary": ("#fffdfc", "#201827"),
    "background_fill_secondary": ("#fdecea", "#2b2033"),
    "border_color_primary": ("#ecd3da", "#463650"),
    "border_color_accent": (ROSE, PINK),
    "color_accent_soft": ("#fde4ee", "#432036"),
    "link_text_color": (DEEP_ROSE, PINK),
    "input_background_fill": ("#fffdfc", "#201827"),
    "input_border_color": ("#a98896", "#85708f"),
    "input_border_color_focus": (ROSE, PINK),
    "input_placeholder_color": ("#75606f", "#b7a4bb"),
    "slider_color": (ROSE, "#f472b6"),
    "checkbox_background_color_selected": (ROSE, ROSE),
    "checkbox_border_color_selected": (ROSE, PINK),
    "checkbox_label_background_fill": ("#fffdfc", "#201827"),
    "checkbox_label_background_fill_selected": ("#fde4ee", "#432036"),
    "checkbox_label_border_color": ("#ecd3da", "#463650"),
    "checkbox_label_text_color": ("#2c1a2e", "#f7eff8"),
    "checkbox_label_text_color_selected": ("#2c1a2e", "#f7eff8"),
    "button_primary_background_fill": (ROSE, ROSE),
    "button_primary_background_fill_hover": (DEEP_ROSE, DEEP_ROSE),
    "button_primary_text_color": ("#ffffff", "#ffffff"),
    "button_primary_border_color": (ROSE, ROSE),
    "button_secondary_background_fill": ("#fffdfc", "#2b2033"),
    "button_secondary_background_fill_hover": ("#fde4ee", "#432036"),
    "button_secondary_text_color": ("#2c1a2e", "#f7eff8"),
    "button_secondary_border_color": ("#ecd3da", "#463650"),
}


def theme() -> gr.themes.Base:
    fonts = [gr.themes.Font(name) for name in ("ui-rounded", "system-ui", "sans-serif")]  # the system's: none to fetch
    base = gr.themes.Base(primary_hue="pink", neutral_hue="zinc", radius_size="lg", font=fonts, font_mono=fonts)
    values = {name: light for name, (light, _) in COLOURS.items()}
    values |= {f"{name}_dark": dark for name, (_, dark) in COLOURS.items()}
    flat = {"block_border_width": "0px", "block_shadow": "none", "block_padding": "0px", "button_border_width": "1px"}
    shape = {"button_large_radius": "999px", "input_radius": "14px", "input_border_width": "1px", "layout_gap": "16px"}
    own: gr.themes.Base = base.set(**values, **flat, **shape, color_accent=ROSE)
    return own
