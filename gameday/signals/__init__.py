"""The golden signals: sources know how to ask, platforms know what to ask for."""
