"""An agent of LangGraph that looks things up: all of its calls are one conversation.

`OPENAI_API_KEY=... python examples/langgraph_agent.py`
"""

from langchain_openai import ChatOpenAI
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

import farebox

farebox.instrument(service_name="forecaster")


def weather(city: str) -> str:
    """Return the weather in a city."""
    return "21 degrees"


def build_agent() -> StateGraph:
    """Return a graph: the model asks for tools until it can answer."""
    model = ChatOpenAI(model="gpt-4o").bind_tools([weather])

    def call_model(state: MessagesState) -> MessagesState:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", call_model)
    graph.add_node("tools", ToolNode([weather]))
    graph.set_entry_point("model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph


@farebox.conversation(lambda conversation, question: conversation, feature="forecast")
def ask(conversation: str, question: str) -> str:
    """Answer a question within a conversation."""
    with farebox.turn():
        state = build_agent().compile().invoke({"messages": [("user", question)]})
    return str(state["messages"][-1].content)


if __name__ == "__main__":
    print(ask("chat-42", "What is the weather in Paris?"))
    print(farebox.status())
