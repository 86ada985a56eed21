-- The same request again and again. Run in this folder.
dofile("report.lua")
